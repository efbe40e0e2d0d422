/**
 * Advantage-weighted regression and its family: limits that are other methods, gradients by differences, and a bandit
 * whose halves want different strengths.
 */
import { expect, test } from "bun:test";
import { Critics } from "../../../src/align/control/critics.ts";
import { meanOf, returnsOf } from "../../../src/align/control/evaluating.ts";
import { embedded, embeddedSlope, Family } from "../../../src/align/control/family.ts";
import { ReplayRatio } from "../../../src/align/control/replay-ratio.ts";
import { method } from "../../../src/align/methods/control/awr.ts";
import { Random } from "../../../src/data/random.ts";
import { armsWorth, bed, begun, imitated, learn, TRAINING, weightsOf } from "./support.ts";

/** With INGOT_TEST_LONG=1 what takes half a minute runs too. */
const LONG = process.env.INGOT_TEST_LONG === "1";

const FEW = { steps: 40, batch_size: 16 };

test("beta 0 is behaviour cloning, bit for bit", async () => {
  const own = await bed("gridworld", 200, { side: 3 });
  const learnt = await learn(method, own, { beta: 0 }, FEW);
  const { net } = await imitated(own, FEW);
  expect(weightsOf(learnt, "policy")).toEqual([...net.weights]);
});

test("a family over one beta is plain regression with it, and one over a range is not", async () => {
  const own = await bed("pointmass", 200);
  const plain = await learn(method, own, { beta: 2 }, FEW);
  const one = await learn(method, own, { family: true, beta_range: [2, 2] }, FEW);
  expect(weightsOf(one, "policy")).toEqual(weightsOf(plain, "policy"));
  const range = await learn(method, own, { family: true, beta_range: [1, 2] }, FEW);
  expect(weightsOf(range, "policy").length).toBe(weightsOf(plain, "policy").length + 6 * TRAINING.hidden[0]!);
});

test("a larger beta keeps more to what was better than usual", async () => {
  const own = await bed("bandit", 1000, { contexts: 2, risk: 0, expert: 0 });
  const worth: number[] = [];
  for (const beta of [0, 2, 10])
    worth.push(armsWorth(own.world, await learn(method, own, { beta, follow: 0.1, expectile: 0.5 })));
  // Uniform arms are worth 1/2; exp(2 A) and exp(10 A) over arms of 0, 1/3, 2/3, 1 make 0.67 and 0.98.
  expect(worth[0]!).toBeCloseTo(0.5, 1);
  expect(worth[1]!).toBeGreaterThan(worth[0]! + 0.1);
  expect(worth[2]!).toBeGreaterThan(worth[1]! + 0.1);
});

test.if(LONG)("a beta that is chosen by state beats every fixed one where the data are uneven", async () => {
  const own = await bed("bandit", 4000, { quality: "split", contexts: 4, risk: 1 });
  const given = { advantage: "sample", expectile: 0.5, follow: 0.05 };
  const training = { steps: 900, batch_size: 32, lr: 5e-3 };
  let best = 0;
  for (const beta of [0, 1, 2, 5])
    best = Math.max(best, armsWorth(own.world, await learn(method, own, { ...given, beta }, training)));
  const family = await learn(method, own, { ...given, family: true, beta_range: [0.1, 5] }, training);
  expect(armsWorth(own.world, family)).toBeGreaterThan(best + 0.05);
  const { beta_first_half: quiet, beta_second_half: risky } = family.told as Record<string, number>;
  expect(quiet!).toBeGreaterThan(risky! + 1);
});

test("the embedding's slope, and that of what a beta is worth, are those of differences", async () => {
  const h = 1e-5;
  for (const beta of [0.3, 4]) {
    const [up, down] = [embedded(beta + h), embedded(beta - h)];
    for (const [i, slope] of embeddedSlope(beta).entries()) expect(slope).toBeCloseTo((up[i]! - down[i]!) / (2 * h), 7);
  }
  for (const name of ["gridworld", "pointmass"]) {
    const { world } = await bed(name, 1);
    const family = new Family(world, TRAINING, [1, 5], 3);
    const actionWidth = family.policy.head.width;
    const widths = { width: world.width, actionWidth, hidden: [16], lr: 1e-3, discount: 0.9 };
    const critics = new Critics({ ...widths, expectile: 0.5, follow: 0.1 }, 3);
    const state = Float64Array.from(world.observe(world.start(new Random("state"))));
    const worth = (beta: number) => family.worth(state, beta, critics, new Random("draw"));
    const slope = (worth(2 + h).value - worth(2 - h).value) / (2 * h);
    expect(Math.abs(slope)).toBeGreaterThan(1e-7);
    expect(Math.abs(worth(2).slope - slope)).toBeLessThan(1e-5 * Math.max(1e-2, Math.abs(slope)));
  }
});

test("weights by advantage beat cloning on a grid, and come near the optimum", async () => {
  const own = await bed("gridworld", 1500, { side: 4 });
  const learnt = await learn(method, own, { follow: 0.05, beta: 10 }, { steps: 700 });
  const clone = (await imitated(own, { steps: 700 })).actor();
  const [found, copied] = [learnt.actor, clone].map((actor) => returnsOf(own.world, actor, 300, 0).mean);
  expect(found!).toBeGreaterThan(copied! + 0.05);
  expect(returnsOf(own.world, learnt.actor, 300, 0, true).mean).toBeGreaterThan(own.world.optimum - 0.05);
});

test("a ratio that never settles is a constant one, bit for bit", async () => {
  const own = await bed("gridworld", 100, { side: 3 });
  const online = { online: 120 };
  const low = { replay_low: 0.5, replay_every: 2 };
  const adaptive = { ...online, ...low, replay_ratio: "adaptive" };
  const constant = await learn(method, own, { ...online, replay_ratio: "0.5" }, FEW);
  const unsettled = await learn(method, own, { ...adaptive, replay_delta: -1 }, FEW);
  expect(weightsOf(unsettled, "policy")).toEqual(weightsOf(constant, "policy"));
  expect(constant.told.online_updates).toBe(60);
  const settled = await learn(method, own, { ...adaptive, replay_delta: 1 }, FEW);
  expect(settled.told.settled_at_episode).toBe(4);
  expect(settled.told.online_updates).toBeGreaterThan(60);
  expect(settled.noted.at(-1)!.told.replay_ratio).toBe(2);
});

test("the ratio rises once the mean share of active units has settled, and stays", () => {
  const asked = { replay_ratio: "adaptive", replay_low: 0.5, replay_high: 2, replay_every: 2, replay_delta: 0.01 };
  const ratio = new ReplayRatio(asked);
  const seen = [0.5, 0.5, 0.4, 0.4, 0.41, 0.4, 0.1, 0.1].map((share) => {
    ratio.episode(share);
    return ratio.ratio;
  });
  expect(seen).toEqual([0.5, 0.5, 0.5, 0.5, 0.5, 2, 2, 2]);
  expect(ratio.settled).toBe(6);
  expect(meanOf(Array.from({ length: 8 }, () => new ReplayRatio({ ...asked, replay_ratio: "3" }).due()))).toBe(3);
});

test("a bad range or ratio is refused", async () => {
  const own = await bed("bandit", 10);
  expect(() => begun(method, own, { family: true, beta_range: [5, 1] })).toThrow("--beta-range 5,1 is no range");
  expect(() => begun(method, own, { replay_ratio: "often" })).toThrow("--replay-ratio often is no ratio");
});
