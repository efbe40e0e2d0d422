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
import type { Action } from "../../../data/worlds/world.ts";
import type { Options } from "../../../method/options.ts";
import { raiseClipped, whitened } from "../../control/clipped.ts";
import { offlineBatch } from "../../control/cloning.ts";
import { type ControlSetup, controlMethod } from "../../control/contract.ts";
import { Critics } from "../../control/critics.ts";
import { meanOf } from "../../control/evaluating.ts";
import { Policy } from "../../control/policy.ts";
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

/** Steps 1: policies that clone the rows, each kept apart from the best of the others. */
async function cloneApart({ world, rows, values, training, seed, tick }: Setup): Promise<Policy[]> {
  const { members, disagreement } = values;
  const policies = Array.from({ length: members }, (_, i) =>
    Policy.fresh(world, training, seed, i === 0 ? "policy" : `policy ${i}`),
  );
  for (let step = 0; step < training.steps; step++) {
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
  return policies;
}

/** The mean divergence of two members, in nats, over states; undefined for one member. */
function apartBy(policies: readonly Policy[], states: Float64Array, count: number): number | undefined {
  const all = policies.map((policy) => [...policy.outs(policy.net.forward(states, count))].map(([, out]) => out));
  const { head } = policies[0]!;
  const pairs = all.flatMap((outs, i) => all.flatMap((others, j) => (i === j ? [] : [[outs, others] as const])));
  if (pairs.length === 0) return undefined;
  return meanOf(pairs.map(([outs, others]) => meanOf(outs.map((out, row) => head.divergence(out, others[row]!)))));
}

/** Steps 3 and 4 for one policy: gives the last accepted one, its J, and how often one was accepted. */
async function improved(
  setup: Setup,
  first: Policy,
  member: number,
  judge: (policy: Policy) => number,
  critics: Critics,
): Promise<{ policy: Policy; worth: number; accepted: number }> {
  const { rows, values, training, seed, tick, note } = setup;
  const policy = first.copy(training.lr);
  let [old, worth, accepted, clip] = [first, judge(first), 0, values.clip];
  for (let step = 1; step <= values.offline; step++) {
    const random = new Random(seed, "offline", member, step);
    const { states, rows: count } = rows.draw(random, training.batch_size);
    const actions = old.drawn(states, count, random);
    const encoded = Float64Array.from(actions.flatMap((action) => old.head.encode(action)));
    const here = critics.v(states, count);
    const gains = whitened(critics.q(states, encoded, count).map((q, i) => q - here[i]!));
    const advantages = gains.map((gain) => Math.abs(values.omega - Number(gain < 0)) * gain);
    raiseClipped(policy, { states, rows: count, actions, logs: old.logs(states, actions), advantages }, clip);
    await tick();
    if (step % values.gate_every !== 0) continue;
    clip *= values.clip_decay;
    const now = judge(policy);
    const isBetter = now > worth + values.gate_margin;
    if (isBetter) {
      [old, worth] = [policy.copy(training.lr), now];
      accepted++;
    }
    note(step, { member, expected: now, accepted: Number(isBetter) });
  }
  return { policy: old, worth, accepted };
}

/** Step 5. */
async function goOn(setup: Setup, policy: Policy, critics: Critics): Promise<number[]> {
  const { world, values, training, seed, tick, note } = setup;
  const returns: number[] = [];
  const random = new Random(seed, "online");
  let [state, age, total, weight] = [world.start(random), 0, 0, 1];
  for (let taken = 0; taken < values.online; taken += values.rollout) {
    const steps: {
      seen: readonly number[];
      action: Action;
      reward: number;
      next: readonly number[];
      ends: 0 | 1 | 2;
    }[] = [];
    const ended: number[] = [];
    for (let i = taken; i < Math.min(values.online, taken + values.rollout); i++) {
      const action = policy.head.sample(policy.out(state), random);
      const { reward, next, done } = world.step(state, action, random);
      age++;
      const isCut = age >= world.horizon;
      steps.push({
        ...{ seen: world.observe(state), action, reward, next: world.observe(next) },
        ends: done ? 2 : isCut ? 1 : 0,
      });
      total += weight * reward;
      weight *= world.discount;
      state = next;
      await tick();
      if (!done && !isCut) continue;
      ended.push(total);
      [state, age, total, weight] = [world.start(random), 0, 0, 1];
    }
    const count = steps.length;
    const states = Float64Array.from(steps.flatMap(({ seen }) => seen));
    const here = critics.v(states, count);
    const there = critics.v(Float64Array.from(steps.flatMap(({ next }) => next)), count);
    const gains = new Float64Array(count);
    for (let i = count - 1, ahead = 0; i >= 0; i--) {
      const { reward, ends } = steps[i]!;
      const surprise = reward + (ends === 2 ? 0 : world.discount * there[i]!) - here[i]!;
      ahead = surprise + (ends > 0 ? 0 : world.discount * values.gae * ahead);
      gains[i] = ahead;
    }
    const targets = gains.map((gain, i) => gain + here[i]!);
    const actions = steps.map(({ action }) => action);
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
    if (ended.length === 0) continue;
    returns.push(meanOf(ended));
    note(taken + count, { return: returns.at(-1)! });
  }
  return returns;
}

export const method = controlMethod({
  name: "uni-o4",
  title: "Uni-O4",
  about: "an ensemble of clones, improved on the rows behind a gate, then in the world, by one clipped surrogate",
  cite: "arXiv:2311.03351",
  options: OPTIONS,

  updates: ({ members, offline, online }, { steps }) => 2 * steps + members * offline + online,

  async learn(setup) {
    const { world, rows, values, training, seed, tick } = setup;
    const clones = await cloneApart(setup);
    const widths = { width: world.width, actionWidth: clones[0]!.head.width };
    const { hidden, lr } = training;
    const { expectile, follow } = values;
    const critics = new Critics({ ...widths, hidden, lr, discount: world.discount, expectile, follow }, seed);
    const model = new WorldModel(widths.width, widths.actionWidth, training, seed);
    for (let step = 0; step < training.steps; step++) {
      const batch = offlineBatch(rows, training, seed, step);
      critics.update(batch);
      model.update(batch);
      await tick();
    }
    const starts = rows.draw(new Random(seed, "starts"), 128);
    const steps = Math.min(values.gate_steps, world.horizon);
    const judge = (policy: Policy) => model.expected(policy, critics, starts.states, starts.rows, steps, seed);
    const members = [];
    for (const [i, clone] of clones.entries()) members.push(await improved(setup, clone, i, judge, critics));
    const best = members.reduce((a, b) => (b.worth > a.worth ? b : a));
    const expected = { clones: clones.map(judge), members: members.map(({ worth }) => worth) };
    const policy = best.policy.copy(lr);
    const online = await goOn(setup, policy, critics);
    return {
      actor: policy.actor(),
      tensors: [...policy.net.tensors("policy"), ...critics.tensors()],
      told: {
        member: members.indexOf(best),
        accepted: members.map(({ accepted }) => accepted),
        expected,
        ...(values.members > 1 ? { apart: apartBy(clones, starts.states, starts.rows)! } : {}),
        ...(online.length > 0 ? { online_returns: online } : {}),
      },
    };
  },
});
