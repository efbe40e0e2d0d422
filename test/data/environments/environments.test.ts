/** Environments and the rows of their tasks: optima against plain search, the live world, and each other. */
import { describe, expect, test } from "bun:test";
import { meanReturn } from "../../../src/data/environments/contract.ts";
import { Gridworld, MOVES } from "../../../src/data/environments/gridworld.ts";
import { DRAG, DT, Pointmass } from "../../../src/data/environments/pointmass.ts";
import { parseRow } from "../../../src/data/parse-row.ts";
import { Random } from "../../../src/data/random.ts";
import type { Json } from "../../../src/json.ts";
import { openTask, rowsOf } from "../tasks/open-task.ts";

const GRID = { side: 5, walls: 0.25, slip: 0.2, discount: 0.9 };

describe("gridworld", () => {
  test("without slips a cell is worth the discount to the power of the steps that a search finds", () => {
    const grid = new Gridworld(3, { ...GRID, slip: 0 });
    const random = new Random("search");
    for (const start of grid.starts) {
      const distance = new Map([[start, 0]]);
      for (const [cell, steps] of distance) {
        if (cell === grid.goal) continue;
        for (let move = 0; move < MOVES; move++) {
          const { next } = grid.step(cell, move, random);
          if (!distance.has(next)) distance.set(next, steps + 1);
        }
      }
      expect(grid.bestValue(start)).toBeCloseTo(0.9 ** (distance.get(grid.goal)! - 1), 10);
    }
    expect(grid.starts.length).toBeGreaterThan(8);
  });

  test("no move is worth more than the best value, and the best action has it", () => {
    const grid = new Gridworld(1, GRID);
    for (const cell of grid.starts) {
      const values = Array.from({ length: MOVES }, (_, move) => grid.bestActionValue(cell, move));
      expect(Math.max(...values)).toBeCloseTo(grid.bestValue(cell), 10);
      expect(values[grid.bestAction(cell)]).toBe(Math.max(...values));
    }
  });

  test("walking gives what the facts say, for the best policy and for one that moves anywhere", async () => {
    const grid = new Gridworld(2, GRID);
    const uniform = Array.from({ length: MOVES }, () => 1 / MOVES);
    const walk = { episodes: 4000, steps: 300, random: new Random("walk") };
    // Returns are in [0, 1], so a standard error is below 0.008; five of them.
    const best = grid.returnOf((cell) => uniform.map((_, move) => (move === grid.bestAction(cell) ? 1 : 0)));
    expect(Math.abs(meanReturn(grid, (cell) => grid.bestAction(cell), walk) - best)).toBeLessThan(0.04);
    const any = meanReturn(grid, (_, random) => random.below(MOVES), walk);
    expect(Math.abs(any - grid.returnOf(() => uniform))).toBeLessThan(0.04);
    expect(best - any).toBeGreaterThan(0.2);
    const { facts } = await openTask("gridworld", { ...GRID, seed: 2, quality: 1 });
    expect(facts.optimal_return).toBeCloseTo(best, 5);
    expect(facts.behaviour_return).toBe(facts.optimal_return);
  });

  test("rows are steps of episodes, read as examples of a classifier", async () => {
    const rows = rowsOf(await openTask("gridworld", { horizon: 16 }), 400);
    for (const [i, row] of rows.entries()) {
      const { x, next_x, done, first, timeout, reward } = row as {
        x: number[];
        next_x: number[];
        [key: string]: unknown;
      };
      expect([x.length, x.reduce((a, b) => a + b), next_x.indexOf(1) >= 0]).toEqual([25, 1, true]);
      expect(reward).toBe(done ? 1 : 0);
      expect(row.optimal_advantage).toBeLessThanOrEqual(1e-6);
      const next = rows[i + 1];
      if (next && !done && !timeout) expect([next.x, next.first]).toEqual([next_x, false]);
      if (next && (done || timeout)) expect(next.first).toBe(true);
      expect(first || i > 0).toBe(true);
    }
    expect(rows.some(({ done }) => done)).toBe(true);
    expect(parseRow(rows[0] as Json, "rows.jsonl:1")).toMatchObject({
      form: "example",
      label: rows[0]!.label,
      extra: { reward: 0 },
    });
  });
});

describe("pointmass", () => {
  const OPTIONS = { effort: 0.1, noise: 0.05, discount: 0.9 };
  const point = new Pointmass(OPTIONS);
  const [gp, gv] = point.gains;

  test("no other gains are better", () => {
    const best = point.returnOf({ gains: point.gains, deviation: 0 });
    for (const [dp, dv] of [
      [0.05, 0],
      [-0.05, 0],
      [0, 0.05],
      [0, -0.05],
      [0.05, 0.05],
      [-0.3, 0.2],
    ] as const)
      expect(point.returnOf({ gains: [gp + dp, gv + dv], deviation: 0 })).toBeLessThan(best);
    expect(point.returnOf({ gains: point.gains, deviation: 0.5 })).toBeLessThan(best);
  });

  test("the live world gives what the equations say", () => {
    for (const controller of [
      { gains: point.gains, deviation: 0 },
      { gains: [gp / 2, gv / 2] as const, deviation: 0.5 },
    ]) {
      const walk = { episodes: 1500, steps: 120, random: new Random("push", controller.deviation) };
      const measured = meanReturn(point, (state, random) => Pointmass.force(controller, state, random), walk);
      const told = point.returnOf(controller);
      // Returns deviate about as places to begin in do, so a standard error is some 2 %; five of them.
      expect(Math.abs(measured / told - 1)).toBeLessThan(0.1);
    }
  });

  test("values fit Bellman's equation, and the best action has the best value", () => {
    const random = new Random("states");
    for (let i = 0; i < 50; i++) {
      const state = Array.from({ length: 4 }, () => random.normal());
      const best = point.bestAction(state);
      expect(point.bestActionValue(state, best)).toBeCloseTo(point.bestValue(state), 9);
      const other = best.map((force) => force + random.normal());
      expect(point.bestActionValue(state, other)).toBeLessThan(point.bestValue(state));
    }
  });

  test("rows follow the dynamics", async () => {
    const rows = rowsOf(await openTask("pointmass", { noise: 0, horizon: 10 }), 60);
    for (const [i, row] of rows.entries()) {
      const { x, next_x, action } = row as Record<"x" | "next_x" | "action", number[]>;
      for (const axis of [0, 1]) {
        expect(next_x[axis]!).toBeCloseTo(x[axis]! + DT * x[axis + 2]!, 5);
        expect(next_x[axis + 2]!).toBeCloseTo((1 - DRAG) * x[axis + 2]! + DT * action[axis]!, 5);
      }
      expect(row.reward).toBeCloseTo(-(x[0]! ** 2 + x[1]! ** 2 + 0.1 * (action[0]! ** 2 + action[1]! ** 2)), 5);
      expect(row.optimal_advantage).toBeLessThanOrEqual(1e-5);
      if (i % 10 < 9) expect(rows[i + 1]?.x).toEqual(next_x);
    }
  });
});
