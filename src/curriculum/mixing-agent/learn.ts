/**
 * Learns a mixing agent from trajectories alone. Yang et al. 2025, https://arxiv.org/abs/2507.15640; conservative
 * Q-learning after Kumar et al. 2020, https://arxiv.org/abs/2006.04779.
 *
 *   warm start   cross-entropy of the policy and the mixtures of the best trajectories
 *   critic       (Q(s, a) - r - gamma Q'(s', pi(s')))^2 + alpha (log sum_k exp Q(s, a_k) - Q(s, a))
 *   policy       -Q(s, pi(s)) + lambda cross-entropy on the best trajectories
 *
 * a_k are proposals: the policy's own mixture, even draws of the simplex, and noise around the mixture that was used.
 * Q' is an average of Q's weights (0.995). Rewards are scaled to a deviation of 1.
 */
import { Random } from "../../data/random.ts";
import { softmax } from "../../run/simplex.ts";
import { type Adam, adam } from "../../tensor/descent.ts";
import {
  copyOf,
  criticBack,
  criticPass,
  freshCritic,
  freshPolicy,
  noGradients,
  policyBack,
  policyPass,
  type SetGradients,
  type SetNet,
  sharesFrom,
  throughSoftmax,
} from "./networks.ts";
import {
  type FieldWeights,
  featureCount,
  returnOf,
  type Trajectory,
  type Transition,
  transitionsOf,
} from "./trajectories.ts";

export interface Learning {
  /** Rounds that the agent looks back at. */
  readonly history: number;
  readonly hidden: number;
  readonly weights: FieldWeights;
  /** alpha */
  readonly conservative: number;
  /** lambda */
  readonly cloning: number;
  readonly gamma: number;
  /** Share of the trajectories that are cloned, the best first. */
  readonly best: number;
  readonly lr: number;
  readonly cloneSteps: number;
  readonly steps: number;
  /** Transitions of a step. */
  readonly batch: number;
  /** Proposals besides the policy's own, half of each kind. */
  readonly proposals: number;
  readonly seed: number;
}

export interface Learnt {
  readonly policy: SetNet;
  /** Of the last tenth of the steps. */
  readonly figures: {
    readonly cloning: number;
    readonly bellman: number;
    readonly gap: number;
    readonly value: number;
  };
}

interface Example extends Transition {
  readonly isBest: boolean;
}

const POLYAK = 0.995;
/** Deviation of the logs of shares around the mixture that was used. */
const NOISE = 0.5;

/** Even draws of the simplex. */
const evenDraw = (k: number, random: Random): number[] => softmax(Array.from({ length: k }, () => random.logGamma(1)));

const near = (probs: readonly number[], random: Random): number[] =>
  softmax(probs.map((p) => Math.log(Math.max(p, 1e-6)) + NOISE * random.normal()));

class Stepped {
  readonly #both: readonly [Adam, Adam];
  constructor(lr: number) {
    this.#both = [adam(lr), adam(lr)];
  }
  step(net: SetNet, by: SetGradients): void {
    this.#both[0].step(net.encoder.weights, by.encoder);
    this.#both[1].step(net.head.weights, by.head);
  }
}

const joined = (parts: readonly ArrayLike<number>[]): Float64Array => {
  const all = new Float64Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
};

const meanOf = (values: ArrayLike<number>): number =>
  values.length === 0 ? 0 : Array.from(values).reduce((sum, x) => sum + x, 0) / values.length;

/** One learning at work: networks and where their optimizers stand. Sets of one batch have as many groups. */
class Learner {
  readonly policy: SetNet;
  readonly critic: SetNet;
  readonly #slow: SetNet;
  readonly #given: Learning;
  readonly #policySteps: Stepped;
  readonly #criticSteps: Stepped;

  constructor(given: Learning) {
    const features = featureCount(given.history);
    this.#given = given;
    this.policy = freshPolicy(features, given.hidden, new Random(given.seed, "mix-agent", "policy"));
    this.critic = freshCritic(features, given.hidden, new Random(given.seed, "mix-agent", "critic"));
    this.#slow = copyOf(this.critic);
    this.#policySteps = new Stepped(given.lr);
    this.#criticSteps = new Stepped(given.lr);
  }

  #propose(states: Float64Array, sets: number, k: number) {
    const pass = policyPass(this.policy, states, sets, k);
    return { pass, shares: sharesFrom(pass.out, k) };
  }

  /** Gradient of the mean cross-entropy by logits, added to `into`; gives the mean. */
  #addCloning(shares: Float64Array, wanted: Float64Array, k: number, factor: number, into: Float64Array): number {
    const sets = shares.length / k;
    let sum = 0;
    for (const [i, share] of shares.entries()) {
      sum -= (wanted[i]! * Math.log(share + 1e-12)) / sets;
      into[i]! += (factor * (share - wanted[i]!)) / sets;
    }
    return sum;
  }

  /** A step of behaviour cloning; gives the cross-entropy. */
  clone(batch: readonly Example[], k: number): number {
    const { pass, shares } = this.#propose(joined(batch.map(({ state }) => state)), batch.length, k);
    const gradient = new Float64Array(shares.length);
    const loss = this.#addCloning(shares, joined(batch.map(({ action }) => action)), k, 1, gradient);
    const into = noGradients(this.policy);
    policyBack(this.policy, pass, gradient, into);
    this.#policySteps.step(this.policy, into);
    return loss;
  }

  /** r + gamma Q'(s', pi(s')) */
  #targets(batch: readonly Example[], k: number): number[] {
    const going = batch.flatMap(({ next }) => (next ? [next] : []));
    const features = joined(going);
    const values =
      going.length === 0
        ? new Float64Array()
        : criticPass(this.#slow, { features, shares: this.#propose(features, going.length, k).shares }, going.length)
            .out;
    let at = 0;
    return batch.map(({ reward, next }) => reward + (next ? this.#given.gamma * values[at++]! : 0));
  }

  /** A step of the critic; gives the squared error, and by how much it rates proposals above what was done. */
  judge(batch: readonly Example[], k: number, random: Random): { bellman: number; gap: number } {
    const { conservative, proposals } = this.#given;
    const n = batch.length;
    const targets = this.#targets(batch, k);
    const own = this.#propose(joined(batch.map(({ state }) => state)), n, k).shares;
    const each = 2 + proposals; // what was done, the policy's, the others
    const shares = batch.flatMap(({ action }, i) => [
      action,
      own.subarray(i * k, (i + 1) * k),
      ...Array.from({ length: proposals }, (_, j) => (j % 2 === 0 ? evenDraw(k, random) : near(action, random))),
    ]);
    const features = joined(batch.flatMap(({ state }) => Array.from({ length: each }, () => state)));
    const pass = criticPass(this.critic, { features, shares: joined(shares) }, n * each);
    const gradient = new Float64Array(n * each);
    let [bellman, gap] = [0, 0];
    for (let i = 0; i < n; i++) {
      const values = [...pass.out.subarray(i * each, (i + 1) * each)];
      const done = values[0]!;
      const others = values.slice(1);
      const most = Math.max(...others);
      const total = most + Math.log(others.reduce((sum, x) => sum + Math.exp(x - most), 0));
      bellman += (done - targets[i]!) ** 2 / n;
      gap += (total - done) / n;
      gradient[i * each] = (2 * (done - targets[i]!) - conservative) / n;
      for (const [j, p] of softmax(others).entries()) gradient[i * each + 1 + j] = (conservative * p) / n;
    }
    const into = noGradients(this.critic);
    criticBack(this.critic, pass, gradient, into);
    this.#criticSteps.step(this.critic, into);
    for (const part of ["encoder", "head"] as const)
      for (const [i, weight] of this.critic[part].weights.entries())
        this.#slow[part].weights[i] = POLYAK * this.#slow[part].weights[i]! + (1 - POLYAK) * weight;
    return { bellman, gap };
  }

  /** A step of the policy; gives the value of its mixtures. */
  act(batch: readonly Example[], best: readonly Example[], k: number): number {
    const n = batch.length;
    const features = joined([...batch, ...best].map(({ state }) => state));
    const { pass, shares } = this.#propose(features, n + best.length, k);
    const width = features.length / (n + best.length);
    const judged = { features: features.subarray(0, n * width), shares: shares.subarray(0, n * k) };
    const values = criticPass(this.critic, judged, n);
    const byShares = criticBack(this.critic, values, new Float64Array(n).fill(-1 / n));
    const gradient = new Float64Array(shares.length);
    gradient.set(throughSoftmax(judged.shares, byShares, k));
    const wanted = joined(best.map(({ action }) => action));
    this.#addCloning(shares.subarray(n * k), wanted, k, this.#given.cloning, gradient.subarray(n * k));
    const into = noGradients(this.policy);
    policyBack(this.policy, pass, gradient, into);
    this.#policySteps.step(this.policy, into);
    return meanOf(values.out);
  }
}

/** Transitions of all trajectories with rewards of deviation 1, by how many groups they have. */
function examplesOf(trajectories: readonly Trajectory[], { history, weights, best }: Learning): Map<number, Example[]> {
  const returns = trajectories.map((trajectory) => returnOf(trajectory, weights));
  const kept = Math.max(1, Math.round(best * trajectories.length));
  const order = [...returns.keys()].sort((a, b) => returns[b]! - returns[a]! || a - b);
  const isBest = new Set(order.slice(0, kept));
  const all = trajectories.map((trajectory) => transitionsOf(trajectory, history, weights));
  const rewards = all.flat().map(({ reward }) => reward);
  const mean = meanOf(rewards);
  const deviation = Math.sqrt(meanOf(rewards.map((reward) => (reward - mean) ** 2))) || 1;
  const byGroups = new Map<number, Example[]>();
  for (const [i, transitions] of all.entries()) {
    const k = trajectories[i]!.groups.length;
    const own = transitions.map((each) => ({ ...each, reward: each.reward / deviation, isBest: isBest.has(i) }));
    byGroups.set(k, [...(byGroups.get(k) ?? []), ...own]);
  }
  return byGroups;
}

/** Learns from trajectories, which may have different numbers of groups. `done` hears every step. */
export function learnAgent(trajectories: readonly Trajectory[], given: Learning, done: () => void): Learnt {
  const pools = [...examplesOf(trajectories, given)];
  const sizes = pools.map(([, examples]) => examples.length);
  const learner = new Learner(given);
  const drawn = (step: number, kind: string, isBest: boolean): { k: number; batch: Example[]; random: Random } => {
    const random = new Random(given.seed, "mix-agent", kind, step);
    const [k, all] = pools[random.weighted(sizes)]!;
    const some = isBest ? all.filter((example) => example.isBest) : all;
    const from = some.length > 0 ? some : all;
    return { k, random, batch: Array.from({ length: Math.min(given.batch, from.length) }, () => random.pick(from)) };
  };
  for (let step = 0; step < given.cloneSteps; step++) {
    const { k, batch } = drawn(step, "clone", true);
    learner.clone(batch, k);
    done();
  }
  const last = { bellman: [] as number[], gap: [] as number[], value: [] as number[] };
  for (let step = 0; step < given.steps; step++) {
    const { k, batch, random } = drawn(step, "learn", false);
    const best = batch.filter((example) => example.isBest);
    const { bellman, gap } = learner.judge(batch, k, random);
    const value = learner.act(batch, best, k);
    if (step >= 0.9 * given.steps) {
      last.bellman.push(bellman);
      last.gap.push(gap);
      last.value.push(value);
    }
    done();
  }
  const { k, batch } = drawn(0, "figures", true);
  const shares = sharesFrom(
    policyPass(learner.policy, joined(batch.map(({ state }) => state)), batch.length, k).out,
    k,
  );
  const cloning =
    -joined(batch.map(({ action }) => action)).reduce((sum, p, i) => sum + p * Math.log(shares[i]! + 1e-12), 0) /
    batch.length;
  return {
    policy: learner.policy,
    figures: { cloning, bellman: meanOf(last.bellman), gap: meanOf(last.gap), value: meanOf(last.value) },
  };
}
