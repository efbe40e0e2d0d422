/** Power laws over sizes, and early ranks of runs, on values whose answer is known. */
import { expect, test } from "bun:test";
import { judged } from "../../../src/evaluate/methods/probes/early-signal.ts";
import { jointLaw, scalingLaw, sizeAt } from "../../../src/evaluate/short-runs/scaling.ts";

test("an exact power law is found again, and points at 0 are left out", () => {
  const law = scalingLaw([0, 100, 300, 1000].map((size) => [size, size === 0 ? 0.3 : 0.02 * size ** 0.4]))!;
  expect(law.a).toBeCloseTo(0.02, 12);
  expect(law.b).toBeCloseTo(0.4, 12);
  expect(law.r2).toBeCloseTo(1, 12);
  expect(sizeAt(law, 0.9)).toBeCloseTo(45 ** 2.5, 6);
  expect(scalingLaw([[100, 0.5], [300, 0]])).toBeUndefined(); // biome-ignore format: two points
  expect(sizeAt({ a: 1, b: 0, r2: 1 }, 0.9)).toBeUndefined();
});

test("so is one of rows and parameters", () => {
  const points = [100, 300, 1000].flatMap((rows) =>
    [1e4, 1e5].map((parameters) => [rows, parameters, 0.001 * rows ** 0.5 * parameters ** 0.2] as const),
  );
  const law = jointLaw(points)!;
  expect([law.a, law.b, law.c, law.r2]).toEqual([0.001, 0.5, 0.2, 1].map((x) => expect.closeTo(x, 6)));
  expect(jointLaw(points.filter(([, parameters]) => parameters === 1e4))).toBeUndefined();
});

test("low norms and high losses rank first; correlations say whether they do end well", () => {
  const runs = [
    { early_norm: 1, early_loss: 3, after: 0.5 },
    { early_norm: 2, early_loss: 2.5, after: 0.7 },
    { early_norm: 3, early_loss: 2, after: 0.9 },
    { early_norm: 4, early_loss: 1, after: 1.1 },
  ];
  expect(judged(runs)).toMatchObject({
    ...{ ranks: [0, 2, 4, 6], kept: [0, 1], regret: 0 },
    ...{ norm_correlation: 1, loss_correlation: -1, rank_correlation: 1 },
  });
  // Where the signal is wrong the half without the best run is kept.
  const turned = judged(runs.map((run) => ({ ...run, after: -run.after })));
  expect(turned).toMatchObject({ kept: [0, 1], rank_correlation: -1 });
  expect(turned.regret).toBeCloseTo(0.4, 12);
});
