/** Uni-O4: limits that leave the clones as they are, gradients, the gate, and the step from rows into the world. */
import { expect, test } from "bun:test";
import { raiseClipped, whitened } from "../../../src/align/control/clipped.ts";
import { returnsOf } from "../../../src/align/control/evaluating.ts";
import { Policy } from "../../../src/align/control/policy.ts";
import { WorldModel } from "../../../src/align/control/world-model.ts";
import { method } from "../../../src/align/methods/control/uni-o4.ts";
import { Random } from "../../../src/data/random.ts";
import { bed, imitated, learn, TRAINING, weightsOf } from "./support.ts";

/** With INGOT_TEST_LONG=1 what takes half a minute runs too. */
const LONG = process.env.INGOT_TEST_LONG === "1";

const FEW = { steps: 30, batch_size: 16 };

test("one member without disagreement, behind a gate that nothing passes, is behaviour cloning, bit for bit", async () => {
  const own = await bed("gridworld", 200, { side: 3 });
  const given = { members: 1, disagreement: 0, gate_margin: 1e9, offline: 20, gate_every: 5 };
  const learnt = await learn(method, own, given, FEW);
  const { net } = await imitated(own, FEW);
  expect(weightsOf(learnt, "policy")).toEqual([...net.weights]);
  expect(learnt.told.accepted).toEqual([0]);
  const open = await learn(method, own, { ...given, gate_margin: -1e9 }, FEW);
  expect(open.told.accepted).toEqual([4]);
  expect(weightsOf(open, "policy")).not.toEqual([...net.weights]);
});

test("members are further apart with the bonus than without, and still clone", async () => {
  const own = await bed("gridworld", 300, { side: 3 });
  const found = [];
  for (const disagreement of [0, 0.5])
    found.push(
      (await learn(method, own, { members: 2, disagreement, offline: 0 }, { steps: 200 })).told.apart as number,
    );
  expect(found[0]!).toBeGreaterThan(0);
  expect(found[1]!).toBeGreaterThan(2 * found[0]!);
});

test("the clipped surrogate: the policy's own gradient at first, none where the ratio has left the range", async () => {
  const { world } = await bed("gridworld", 1);
  const states = Float64Array.from([...world.observe([0, 0]), ...world.observe([1, 1])]);
  const moved = (logShift: number, gains: number[]) => {
    const policy = Policy.fresh(world, TRAINING, 0);
    const before = policy.net.weights.slice();
    const logs = policy.logs(states, [1, 2]).map((log) => log - logShift);
    raiseClipped(policy, { states, rows: 2, actions: [1, 2], logs, advantages: Float64Array.from(gains) }, 0.2);
    return policy.net.weights.some((weight, i) => weight !== before[i]);
  };
  expect(moved(0, [1, -1])).toBe(true);
  expect(moved(0.5, [1, 1])).toBe(false);
  expect(moved(-0.5, [-1, -1])).toBe(false);
  expect(moved(0.5, [1, -1])).toBe(true);
  const white = whitened(Float64Array.of(1, 2, 6));
  expect(white.reduce((sum, x) => sum + x, 0)).toBeCloseTo(0, 12);
  expect(white.reduce((sum, x) => sum + x * x, 0) / 3).toBeCloseTo(1, 6);
});

test("the model of the world learns where a push leads", async () => {
  const own = await bed("pointmass", 600, { noise: 0 });
  const rows = own.rows();
  const model = new WorldModel(own.world.width, 1, TRAINING, 0);
  const errors = Array.from({ length: 400 }, (_, step) => model.update(rows.draw(new Random("model", step), 32)));
  const mean = (from: number) => errors.slice(from, from + 20).reduce((sum, x) => sum + x, 0) / 20;
  expect(mean(380)).toBeLessThan(mean(0) / 20);
});

test.if(LONG)(
  "what is accepted is no worse than the clones in the world, and going on there starts without a dip",
  async () => {
    const own = await bed("gridworld", 1500, { side: 4 });
    const given = { members: 2, expectile: 0.7, follow: 0.05, offline: 300, gate_every: 50 };
    const training = { steps: 400 };
    const offline = await learn(method, own, given, training);
    const returnOf = (one: typeof offline) => returnsOf(own.world, one.actor, 300, 0).mean;
    const clones = await learn(method, own, { ...given, offline: 0 }, training);
    expect(returnOf(offline)).toBeGreaterThan(returnOf(clones) + 0.03);
    const { clones: before, members } = offline.told.expected as Record<string, number[]>;
    for (const [i, worth] of members!.entries()) expect(worth).toBeGreaterThanOrEqual(before![i]!);
    const online = await learn(method, own, { ...given, online: 2400, rollout: 400 }, training);
    const returns = online.told.online_returns as number[];
    expect(Math.min(...returns)).toBeGreaterThan(returnOf(offline) - 0.08);
    expect(returnOf(online)).toBeGreaterThan(returnOf(clones) + 0.1);
  },
);
