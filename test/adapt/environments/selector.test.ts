/** Selection of values by the statistics of environments: its parts in plain arithmetic, its limits, its world. */
import { expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  type Environment,
  learnSelector,
  mixed,
  predictions,
  statistics,
  weightsIn,
} from "../../../src/adapt/environments/selector.ts";
import { predicted, ridge } from "../../../src/tensor/linear-algebra/ridge.ts";
import { runScript } from "../../support/command.ts";
import { normals } from "../../support/random.ts";

const rowsOf = (seed: number, count: number) =>
  Array.from({ length: count }, (_, i) => [...normals(1000 * seed + i, 3)].map(Number));

test("ridge regression finds a plane, and its gradient is 0 where it is penalised", () => {
  const x = rowsOf(1, 40);
  const exact = ridge(
    x,
    x.map(([a, b, c]) => 2 + 3 * a! - b! + 0.5 * c!),
    0,
  );
  expect(exact.intercept).toBeCloseTo(2, 10);
  for (const [i, w] of [3, -1, 0.5].entries()) expect(exact.weights[i]).toBeCloseTo(w, 10);
  const y = [...normals(9, 40)].map(Number);
  const lambda = 0.3;
  const { intercept, weights } = ridge(x, y, lambda);
  const centre = [0, 1, 2].map((j) => x.reduce((sum, row) => sum + row[j]!, 0) / 40);
  const size = x.reduce((sum, row) => sum + row.reduce((all, v, j) => all + (v - centre[j]!) ** 2, 0), 0) / 3;
  for (let j = 0; j < 3; j++) {
    const slope = x.reduce((sum, row, i) => {
      const error = intercept + row.reduce((all, v, k) => all + v * weights[k]!, 0) - y[i]!;
      return sum + error * (row[j]! - centre[j]!);
    }, 0);
    expect(slope + lambda * size * weights[j]!).toBeCloseTo(0, 8);
  }
  expect(ridge([[], []], [1, 3])).toEqual({ intercept: 2, weights: [] });
});

test("statistics are means, logs of deviations and correlations", () => {
  const [m1, m2, s1, s2, r] = statistics([
    [1, 2],
    [3, 8],
    [5, 8],
  ]);
  expect([m1, m2]).toEqual([3, 6]);
  expect(s1).toBeCloseTo(Math.log(Math.sqrt(8 / 3)), 12);
  expect(s2).toBeCloseTo(Math.log(Math.sqrt(8)), 12);
  expect(r).toBeCloseTo(4 / Math.sqrt((8 / 3) * 8), 12);
});

/** Environments in which the second value predicts, told by their mean of the third, or does not. */
const worlds: Environment[] = Array.from({ length: 20 }, (_, e) => {
  const helps = e % 2 === 0;
  const x = rowsOf(100 + e, 60).map(([a, b, c]) => [a!, b!, c! + (helps ? 2 : -2)]);
  const noise = normals(500 + e, 60);
  return { name: `e${e}`, x, y: x.map(([a, b], i) => a! + (helps ? b! : -b!) + 0.1 * noise[i]!) };
});

test("one candidate is plain training, whatever chooses", () => {
  for (const gate of ["softmax", "nearest"] as const) {
    const selector = learnSelector(worlds, { sets: [[0, 1]], gate, ridge: 0, decay: 0 });
    const plain = ridge(
      worlds.flatMap(({ x }) => x.map(([a, b]) => [a!, b!])),
      worlds.flatMap(({ y }) => y),
      0,
    );
    expect(weightsIn(selector, worlds[3]!.x)).toEqual([1]);
    const [found] = predictions(selector, worlds[3]!.x);
    expect(found).toEqual(worlds[3]!.x.map(([a, b]) => predicted(plain, [a!, b!])));
    expect(mixed([1], [found!])).toEqual(found!);
  }
});

test.each(["softmax", "nearest"] as const)("%s: risks are those of fits without the environment", (gate) => {
  const sets = [[0], [0, 1]];
  const selector = learnSelector(worlds, { sets, gate, ridge: 1e-6, decay: 1e-3 });
  const others = worlds.slice(1);
  const fit = ridge(
    others.flatMap(({ x }) => x.map(([a]) => [a!])),
    others.flatMap(({ y }) => y),
    1e-6,
  );
  const own = worlds[0]!;
  const risk = own.x.reduce((sum, [a], i) => sum + (predicted(fit, [a!]) - own.y[i]!) ** 2, 0) / own.x.length;
  expect(selector.known[0]!.risks[0]).toBeCloseTo(risk, 12);
  // Weights are shares, and the kind of environment decides.
  for (const { x } of worlds) expect(weightsIn(selector, x).reduce((a, b) => a + b, 0)).toBeCloseTo(1, 12);
});

test("from the shell: the selector is near the better of both in both kinds of environments", async () => {
  const folder = mkdtempSync(join(tmpdir(), "ingot-select-"));
  try {
    const run = async (script: string, line: string) => {
      const done = await runScript(script, line.split(" "), folder);
      expect([done.code, done.err]).toEqual([0, expect.anything()]);
      return done.text;
    };
    await run("data", "environments --size 3000 -o known.jsonl");
    await run("data", "environments --size 2000 --split test -o new.jsonl");
    const text = await run("adapt", "select known.jsonl --test new.jsonl --sets 0 --sets 0,1 --json");
    const { environments } = JSON.parse(text) as {
      environments: { set: string; risk: number; risks: [number, number] }[];
    };
    expect(environments).toHaveLength(20);
    const mean = (list: readonly number[]) => list.reduce((a, b) => a + b, 0) / list.length;
    const better = environments.map(({ risks: [cause, both] }) => cause - both);
    // Each of the two fails in one kind, and the choice in none.
    expect(mean(better.filter((x) => x > 0))).toBeGreaterThan(0.15);
    expect(mean(better.filter((x) => x < 0))).toBeLessThan(-0.1);
    const [chosen, best] = [
      mean(environments.map(({ risk }) => risk)),
      mean(environments.map(({ risks }) => Math.min(...risks))),
    ];
    expect(chosen).toBeLessThan(best + 0.01);
    expect(new Set(environments.map(({ set }) => set))).toEqual(new Set(["0", "0,1"]));
    for (const [line, message] of [
      ["select known.jsonl --test new.jsonl --sets 0,2", "--sets 0,2 are not places of values, from 0 to 1"],
      ["select known.jsonl --test new.jsonl --sets 0,1 --sets 1,0", "--sets 1,0 is given twice"],
    ] as const) {
      const { code, err } = await runScript("adapt", line.split(" "), folder);
      expect([code, err]).toEqual([2, expect.stringContaining(message)]);
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
});
