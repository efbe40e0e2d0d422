/**
 * Uni-O4: one clipped surrogate offline and online. Several policies clone the rows while they differ from each other;
 * each is improved on the rows behind a gate; the best one goes on in the world.
 *
 *   1. policy i raises ln pi_i(a|s) + alpha KL(pi_i || pi_j), j the other one that finds the logged action likeliest
 *   2. Q and V by implicit Q-learning (critics.ts), and a model of the world (world-model.ts)
 *   3. policy i raises the clipped surrogate on logged states, with actions and ratios of its last accepted self, and
 *      |omega - 1(A < 0)| A, A = Q - V whitened
 *   4. every so many updates it is accepted where J is above that of the last accepted one by the margin; at each such
 *      look the range of clipping is multiplied by its decay
 *   5. the policy with the best J and V go on in the world: proximal policy optimisation with generalised advantages
 *
 * Lei et al., Uni-O4: Unifying Online and Offline Deep Reinforcement Learning with Multi-Step On-Policy Optimization,
 * ICLR 2024, https://arxiv.org/abs/2311.03351. Actions of step 3 are the policy's own, as in Zhuang et al., Behavior
 * Proximal Policy Optimization, ICLR 2023, https://arxiv.org/abs/2302.11312.
 */
import { Random } from "../../../data/random.ts";
import type { Options } from "../../../method/options.ts";
import { type Kept, keptTogether, type Numbers, numbersOf } from "../../../run/small-nets/kept.ts";
import type { NamedTensor } from "../../../run/small-nets/mlp.ts";
import { raiseClipped, whitened } from "../../control/clipped.ts";
import { offlineBatch } from "../../control/cloning.ts";
import { type ControlSetup, controlMethod, type Learning, type Learnt } from "../../control/contract.ts";
import type { Stage } from "../../control/course.ts";
import { Critics } from "../../control/critics.ts";
import { meanOf } from "../../control/evaluating.ts";
import { Policy } from "../../control/policy.ts";
import type { Batch } from "../../control/transitions.ts";
import { Walk, type Walked } from "../../control/walk.ts";
import { WorldModel } from "../../control/world-model.ts";

const OPTIONS = {
  members: { type: "1 <= number.integer <= 64", default: 4, help: "policies that clone the rows" },
  disagreement: { type: "0 <= number < 1", default: 0.1, help: "alpha, the bonus for differing; 0 clones", value: "A" },
  expectile: { type: "0 < number < 1", default: 0.7, help: "of V over the actions in the rows; 0.5 is their mean" },
  follow: { type: "0 < number <= 1", default: 0.005, help: "share by which the critics' targets follow in an update" },
  offline: { type: "number.integer >= 0", default: 400, help: "updates of each policy behind the gate", value: "N" },
  clip: { type: "number > 0", default: 0.25, help: "range of the ratio around 1" },
  clip_decay: { type: "0 < number <= 1", default: 0.96, help: "what the range is multiplied by at each gate" },
  omega: { type: "0 < number < 1", default: 0.7, help: "weight of advantages above 0; those below have the rest" },
  gate_every: { type: "number.integer >= 1", default: 100, help: "updates between two gates", value: "N" },
  gate_steps: { type: "number.integer >= 1", default: 5, help: "steps in the model of the world", value: "H" },
  gate_margin: { type: "number", default: 0, help: "what J has to rise by for a policy to be accepted", value: "D" },
  online: { type: "number.integer >= 0", default: 0, help: "steps in the world after those on the rows", value: "N" },
  rollout: { type: "number.integer >= 1", default: 400, help: "steps in the world between updates", value: "N" },
  passes: { type: "number.integer >= 1", default: 4, help: "passes over a rollout", value: "N" },
  gae: { type: "0 <= number <= 1", default: 0.95, help: "lambda of generalised advantages" },
} as const satisfies Options;

type Setup = ControlSetup<typeof OPTIONS>;

/** Step 1: policies that clone the rows, each kept apart from the best of the others. */
async function cloneApart({ rows, values, training, seed, tick }: Setup, policies: readonly Policy[], step: number) {
  const { members, disagreement } = values;
  const { states, actions, rows: count } = offlineBatch(rows, training, seed, step);
  const before = policies.map((policy) => [...policy.outs(policy.net.forward(states, count))].map(([, out]) => out));
  for (const [i, policy] of policies.entries()) {
    const { head } = policy;
    policy.raise(states, count, (row, out, into) => {
      head.addLogGradient(out, actions[row]!, 1, into);
      if (disagreement === 0 || members === 1) return;
      let [best, likeliest] = [Number.NEGATIVE_INFINITY, out];
      for (const [j, outs] of before.entries()) {
        const log = head.logProbability(outs[row]!, actions[row]!);
        if (j !== i && log > best) [best, likeliest] = [log, outs[row]!];
      }
      head.addDivergenceGradient(out, likeliest, disagreement, into);
    });
  }
  await tick();
}

/** The mean divergence of two members, in nats, over states; undefined for one member. */
function apartBy(policies: readonly Policy[], states: Float64Array, count: number): number | undefined {
  const all = policies.map((policy) => [...policy.outs(policy.net.forward(states, count))].map(([, out]) => out));
  const { head } = policies[0]!;
  const pairs = all.flatMap((outs, i) => all.flatMap((others, j) => (i === j ? [] : [[outs, others] as const])));
  if (pairs.length === 0) return undefined;
  return meanOf(pairs.map(([outs, others]) => meanOf(outs.map((out, row) => head.divergence(out, others[row]!)))));
}

/** Steps 3 and 4 for one policy: the last accepted one, and what is to be better than it. */
class Member implements Kept {
  readonly #setup: Setup;
  readonly #member: number;
  readonly #judge: (policy: Policy) => number;
  readonly #candidate: Policy;
  readonly #kept: Kept;
  readonly policy: Policy;
  /** J of the last accepted one. */
  worth = 0;
  /** How often one was accepted. */
  accepted = 0;
  #clip: number;

  constructor(setup: Setup, member: number, judge: (policy: Policy) => number) {
    const { world, training, seed, values } = setup;
    this.#setup = setup;
    this.#member = member;
    this.#judge = judge;
    this.policy = Policy.fresh(world, training, seed);
    this.#candidate = Policy.fresh(world, training, seed);
    this.#clip = values.clip;
    this.#kept = keptTogether({ policy: this.policy, candidate: this.#candidate });
  }

  /** Starts from a clone. */
  begin(clone: Policy): void {
    for (const { net } of [this.policy, this.#candidate]) net.weights.set(clone.net.weights);
    this.worth = this.#judge(this.policy);
  }

  async update(step: number, critics: Critics): Promise<void> {
    const { rows, values, training, seed, tick, note } = this.#setup;
    const old = this.policy;
    const random = new Random(seed, "offline", this.#member, step);
    const { states, rows: count } = rows.draw(random, training.batch_size, training.augment);
    const actions = old.drawn(states, count, random);
    const encoded = Float64Array.from(actions.flatMap((action) => old.head.encode(action)));
    const here = critics.v(states, count);
    const gains = whitened(critics.q(states, encoded, count).map((q, i) => q - here[i]!));
    const advantages = gains.map((gain) => Math.abs(values.omega - Number(gain < 0)) * gain);
    const taken = { states, rows: count, actions, logs: old.logs(states, actions), advantages };
    raiseClipped(this.#candidate, taken, this.#clip);
    await tick();
    if (step % values.gate_every !== 0) return;
    this.#clip *= values.clip_decay;
    const now = this.#judge(this.#candidate);
    const isBetter = now > this.worth + values.gate_margin;
    if (isBetter) {
      old.net.weights.set(this.#candidate.net.weights);
      this.worth = now;
      this.accepted++;
    }
    note(step, { member: this.#member, expected: now, accepted: Number(isBetter) });
  }

  state(): Numbers {
    return { ...this.#kept.state(), counts: Float64Array.of(this.worth, this.accepted, this.#clip) };
  }

  load(numbers: Numbers): void {
    this.#kept.load(numbers);
    [this.worth = 0, this.accepted = 0, this.#clip = 0] = numbersOf(numbers, "counts", 3);
  }
}

/** Step 5 for one rollout, of `count` steps. Gives the returns of the episodes that ended in it. */
async function goOn({ world, values, training, seed, tick }: Setup, going: Going): Promise<number[]> {
  const { policy, critics, walk, taken, count } = going;
  const walked: Walked[] = [];
  for (let i = 0; i < count; i++) {
    walked.push(walk.step(policy.actor()));
    await tick();
  }
  const states = Float64Array.from(walked.flatMap(({ step }) => world.observe(step.state)));
  const nexts = Float64Array.from(walked.flatMap(({ step }) => world.observe(step.next)));
  const [here, there] = [critics.v(states, count), critics.v(nexts, count)];
  const gains = new Float64Array(count);
  for (let i = count - 1, ahead = 0; i >= 0; i--) {
    const { step, ended } = walked[i]!;
    const surprise = step.reward + (step.done ? 0 : world.discount * there[i]!) - here[i]!;
    ahead = surprise + (ended === undefined ? world.discount * values.gae * ahead : 0);
    gains[i] = ahead;
  }
  const targets = gains.map((gain, i) => gain + here[i]!);
  const actions = walked.map(({ step }) => step.action);
  const [logs, advantages] = [policy.logs(states, actions), whitened(gains)];
  const size = training.batch_size;
  const width = world.width;
  for (let pass = 0; pass < values.passes; pass++) {
    const order = new Random(seed, "pass", taken, pass).shuffled(actions.map((_, i) => i));
    for (let at = 0; at < count; at += size) {
      const places = order.slice(at, at + size);
      const own = Float64Array.from(places.flatMap((i) => [...states.subarray(i * width, (i + 1) * width)]));
      const part = (from: Float64Array) => Float64Array.from(places, (i) => from[i]!);
      const chosen = { states: own, rows: places.length, actions: places.map((i) => actions[i]!) };
      raiseClipped(policy, { ...chosen, logs: part(logs), advantages: part(advantages) }, values.clip);
      critics.fitValue(own, part(targets), places.length);
    }
  }
  return walked.flatMap(({ ended }) => ended ?? []);
}

interface Going {
  readonly policy: Policy;
  readonly critics: Critics;
  readonly walk: Walk;
  /** Steps that were taken before. */
  readonly taken: number;
  readonly count: number;
}

/** A run of it. */
class Stepwise implements Learning {
  readonly stages: readonly Stage[];
  readonly #setup: Setup;
  readonly #clones: readonly Policy[];
  readonly #critics: Critics;
  readonly #model: WorldModel;
  readonly #members: readonly Member[];
  readonly #starts: Batch;
  readonly #walk: Walk;
  readonly #online: Policy;
  readonly #kept: Kept;
  #returns: number[] = [];

  constructor(setup: Setup) {
    const { world, rows, values, training, seed, from } = setup;
    this.#setup = setup;
    const names = Array.from({ length: values.members }, (_, i) => (i === 0 ? "policy" : `policy ${i}`));
    this.#clones = names.map((name) => Policy.fresh(world, training, seed, name));
    const widths = { width: world.width, actionWidth: this.#clones[0]!.head.width };
    const { hidden, lr } = training;
    const { expectile, follow } = values;
    const shared = { discount: world.discount, expectile, follow, hidden, lr, care: training };
    this.#critics = new Critics({ ...widths, ...shared }, seed);
    this.#model = new WorldModel(widths.width, widths.actionWidth, training, seed);
    this.#starts = rows.draw(new Random(seed, "starts"), 128);
    this.#members = names.map((_, i) => new Member(setup, i, (policy) => this.#worth(policy)));
    this.#walk = new Walk(world, seed);
    this.#online = Policy.fresh(world, training, seed);
    if (from) {
      from.checkFamily(false);
      from.fill(this.#clones[0]!.net, "policy");
      this.#critics.fill(from);
    }
    const many = (name: string, parts: readonly Kept[]) => parts.map((part, i) => [`${name}${i}`, part] as const);
    this.#kept = keptTogether({
      ...Object.fromEntries([...many("clone", this.#clones), ...many("member", this.#members)]),
      ...{ critics: this.#critics, model: this.#model, walk: this.#walk, online: this.#online },
    });
    this.stages = [
      { units: training.steps, run: (step) => cloneApart(setup, this.#clones, step) },
      { units: training.steps, run: (step) => this.#know(step) },
      { units: 1, run: async () => this.#clones.forEach((clone, i) => void this.#members[i]!.begin(clone)) },
      ...this.#members.map((member) => ({
        units: values.offline,
        run: (step: number) => member.update(step + 1, this.#critics),
      })),
      { units: 1, run: async () => this.#online.net.weights.set(this.#best.policy.net.weights) },
      { units: Math.ceil(values.online / values.rollout), run: (rollout) => this.#act(rollout * values.rollout) },
    ];
  }

  get #best(): Member {
    return this.#members.reduce((a, b) => (b.worth > a.worth ? b : a));
  }

  /** J */
  #worth(policy: Policy): number {
    const { world, values, seed } = this.#setup;
    const steps = Math.min(values.gate_steps, world.horizon);
    return this.#model.expected(policy, this.#critics, this.#starts.states, this.#starts.rows, steps, seed);
  }

  /** Step 2. */
  async #know(step: number): Promise<void> {
    const { rows, training, seed, tick } = this.#setup;
    const batch = offlineBatch(rows, training, seed, step);
    this.#critics.update(batch);
    this.#model.update(batch);
    await tick();
  }

  /** A rollout. */
  async #act(taken: number): Promise<void> {
    const { values, note } = this.#setup;
    const count = Math.min(values.rollout, values.online - taken);
    const going = { policy: this.#online, critics: this.#critics, walk: this.#walk, taken, count };
    const ended = await goOn(this.#setup, going);
    if (ended.length === 0) return;
    this.#returns.push(meanOf(ended));
    note(taken + count, { return: this.#returns.at(-1)! });
  }

  networks(): NamedTensor[] {
    return [...this.#online.net.tensors("policy"), ...this.#critics.tensors()];
  }

  learnt(): Learnt {
    const [clones, members] = [this.#clones, this.#members];
    const { states, rows } = this.#starts;
    return {
      actor: this.#online.actor(),
      told: {
        member: members.indexOf(this.#best),
        accepted: members.map(({ accepted }) => accepted),
        expected: { clones: clones.map((clone) => this.#worth(clone)), members: members.map(({ worth }) => worth) },
        ...(members.length > 1 ? { apart: apartBy(clones, states, rows)! } : {}),
        ...(this.#returns.length > 0 ? { online_returns: this.#returns } : {}),
      },
    };
  }

  state(): Numbers {
    return { ...this.#kept.state(), returns: Float64Array.from(this.#returns) };
  }

  load(numbers: Numbers): void {
    this.#kept.load(numbers);
    this.#returns = [...numbersOf(numbers, "returns")];
  }
}

export const method = controlMethod({
  name: "uni-o4",
  title: "Uni-O4",
  about: "an ensemble of clones, improved on the rows behind a gate, then in the world, by one clipped surrogate",
  cite: "arXiv:2311.03351",
  options: OPTIONS,

  updates: ({ members, offline, online }, { steps }) => 2 * steps + members * offline + online,

  begin: (setup) => new Stepwise(setup),
});
