/** Worlds: their values against plays of the best policy, searched optima, and what rows say of who acted. */
import { expect, test } from "bun:test";
import { Random } from "../../../src/data/random.ts";
import { bandit } from "../../../src/data/worlds/bandit.ts";
import { gridworld } from "../../../src/data/worlds/gridworld.ts";
import { pointmass } from "../../../src/data/worlds/pointmass.ts";
import type { World } from "../../../src/data/worlds/world.ts";
import { openTask, rowsOf } from "../tasks/open-task.ts";

const GRID = { side: 4, walls: 0.2, slip: 0, discount: 0.9, horizon: 12 };
const MASS = { axes: 2, noise: 0, discount: 0.9, horizon: 12 };

/** The return of an episode in which each step is that of the best policy for the steps that are left. */
function played(open: (horizon: number) => World, horizon: number, random: Random) {
  const world = open(horizon);
  const start = world.start(random);
  let [state, total, weight] = [start, 0, 1];
  for (let left = horizon; left > 0; left--) {
    const { reward, next, done } = world.step(state, open(left).best(state), random);
    total += weight * reward;
    weight *= world.discount;
    state = next;
    if (done) break;
  }
  return { total, value: world.value(start) };
}

test.each([0, 1, 2])("without chance the best policy's return is the value of the start, seed %d", (seed) => {
  const random = new Random(seed, "test");
  const grid = played((horizon) => gridworld.open(seed, { ...GRID, horizon }), GRID.horizon, random);
  expect(grid.total).toBeCloseTo(grid.value, 10);
  expect(grid.value).toBeGreaterThan(0);
  const mass = played((horizon) => pointmass.open(seed, { ...MASS, horizon }), MASS.horizon, random);
  expect(mass.total).toBeCloseTo(mass.value, 4); // states have six decimals
});

test.each([
  ["gridworld", (horizon: number) => gridworld.open(3, { ...GRID, slip: 0.3, horizon })],
  ["pointmass", (horizon: number) => pointmass.open(3, { ...MASS, noise: 0.3, horizon })],
])("%s: with chance the mean return of the best policy is the optimum, within five errors", (_, open) => {
  const random = new Random(7, "test");
  const worlds = new Map(Array.from({ length: 12 }, (_, i) => [i + 1, open(i + 1)]));
  const totals = Array.from({ length: 2000 }, () => played((left) => worlds.get(left)!, 12, random).total);
  const mean = totals.reduce((sum, x) => sum + x, 0) / totals.length;
  const error = Math.sqrt(totals.reduce((sum, x) => sum + (x - mean) ** 2, 0) / totals.length ** 2);
  expect(Math.abs(mean - worlds.get(12)!.optimum)).toBeLessThan(5 * error);
  expect(error).toBeLessThan(0.03); // the bound means something
});

test("no push of a grid of pushes is better than the point mass's value says", () => {
  const world = pointmass.open(0, { ...MASS, axes: 1, horizon: 3 });
  const rest = pointmass.open(0, { ...MASS, axes: 1, horizon: 2 });
  const random = new Random(0, "test");
  for (const state of [
    [0.8, 0],
    [-0.3, 0.5],
  ]) {
    let [most, best] = [Number.NEGATIVE_INFINITY, 0];
    for (let push = -3; push <= 3; push += 0.001) {
      const { reward, next } = world.step(state, [push], random);
      const total = reward + 0.9 * rest.value(next);
      if (total > most) [most, best] = [total, push];
    }
    expect(most).toBeCloseTo(world.value(state), 5);
    expect(best).toBeCloseTo((world.best(state) as number[])[0]!, 2);
  }
});

test("a grid of four cells: the goal's neighbours are worth 1, the far corner the discount", () => {
  const world = gridworld.open(0, { side: 2, walls: 0, slip: 0, discount: 0.9, horizon: 5 });
  const map = (world.facts.map as string[]).join("");
  const goal = map.indexOf("G");
  expect(map.replace("G", ".")).toBe("....");
  for (const cell of [0, 1, 2, 3].filter((one) => one !== goal)) {
    const state = [Math.floor(cell / 2), cell % 2];
    expect(world.value(state)).toBeCloseTo(cell === 3 - goal ? 0.9 : 1, 12);
  }
});

test("an arm's mean reward is its rank, and risky arms have noise in the second half of the contexts alone", () => {
  const world = bandit.open(1, { contexts: 4, arms: 3, risk: 0.5 });
  const random = new Random(1, "test");
  for (const context of [0, 3])
    for (const arm of [0, 1, 2]) {
      const rewards = Array.from({ length: 1000 }, () => world.step([context], arm, random).reward);
      const mean = rewards.reduce((sum, x) => sum + x, 0) / rewards.length;
      const variance = rewards.reduce((sum, x) => sum + (x - mean) ** 2, 0) / rewards.length;
      expect(mean).toBeCloseTo((world.facts.means as number[][])[context]![arm]!, 0.8);
      const isRisky = context === 3 && arm !== world.best([3]);
      expect(Math.sqrt(variance)).toBeCloseTo(isRisky ? 0.5 : 0, 1);
    }
});

test.each(["gridworld", "pointmass"])(
  "%s: steps follow each other, and an end is followed by a start",
  async (name) => {
    const rows = rowsOf(await openTask(name, { horizon: 30 }), 300) as { [key: string]: unknown }[];
    for (const [i, row] of rows.entries()) {
      if (i === 0) continue;
      const before = rows[i - 1]!;
      if (row.step === 0) expect(before.done || i % 30 === 0).toBe(true);
      else {
        expect(row.state).toEqual(before.next!);
        expect(row.episode).toBe(before.episode!);
      }
    }
  },
);

test("experts act as often as rows say, by stream or by half of the states", async () => {
  const world = gridworld.open(0, { side: 5, walls: 0.2, slip: 0.1, discount: 0.95, horizon: 40 });
  for (const quality of ["mixed", "split"]) {
    const rows = rowsOf(await openTask("gridworld", { quality, expert_noise: 0.2 }), 8000);
    const hits = { expert: [0, 0, 0], novice: [0, 0, 0] }; // rows, of the best action, and its probability
    for (const { state, action, group, probability } of rows) {
      const own = hits[group as "expert" | "novice"];
      const isBest = action === world.best(state as number[]);
      own[0]!++;
      own[1]! += Number(isBest);
      expect(probability).toBeCloseTo(group === "novice" ? 0.25 : isBest ? 0.85 : 0.05, 12);
      if (quality === "split") expect(group).toBe(world.half(state as number[]) === 1 ? "expert" : "novice");
    }
    expect(hits.expert[1]! / hits.expert[0]!).toBeCloseTo(0.85, 1);
    expect(hits.novice[1]! / hits.novice[0]!).toBeCloseTo(0.25, 1);
  }
});
