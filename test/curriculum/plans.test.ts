/** Sizing of runs, and graphs from measured losses. */
import { expect, test } from "bun:test";
import { forecast, planTraining } from "../../src/curriculum/compute-plan.ts";
import { approximateGraph, exactGraph, handGraph } from "../../src/curriculum/graph.ts";

const close = (values: readonly number[], digits = 9) => values.map((value) => expect.closeTo(value, digits));

test("a plan spends the compute at the given ratio", () => {
  for (const [flops, ratio] of [
    [1e15, 5],
    [3e18, 20],
  ] as const) {
    const plan = planTraining({ flops, tokensPerParameter: ratio });
    expect(6 * plan.parameters * plan.trainTokens).toBeCloseTo(flops, -3);
    expect(plan.trainTokens / plan.parameters).toBeCloseTo(ratio, 9);
    expect(plan.epochs).toBe(0);
    expect(plan.advice).toEqual([]);
  }
});

test("a plan from a model and its data: passes, steps, and what to mind", () => {
  const plan = planTraining({ parameters: 1e6, tokens: 4e6, tokensPerParameter: 20, batchTokens: 3000 });
  expect(plan).toMatchObject({ trainTokens: 2e7, epochs: 5, steps: Math.ceil(2e7 / 3000), flops: 1.2e14 });
  expect(plan.advice.join("\n")).toBe(
    "data repeat 5.0 times: the loss will be higher than on as many fresh tokens\n" +
      "one pass over 4M tokens is for 200K parameters at 20 tokens each\n" +
      "repeated data overfit: consider dropout, or stop when the held-out loss rises",
  );
  const both = planTraining({ flops: 6e12, parameters: 1e5 });
  expect([both.trainTokens, both.tokensPerParameter]).toEqual([1e7, 100]);
  expect(planTraining({ flops: 6e12, tokens: 1e6 }).advice[1]).toContain("more tokens would make it one pass");
});

test("a plan warns of dropout in one pass, of data left over, of odd ratios", () => {
  const advice = (more: object) => planTraining({ parameters: 1e6, ...more }).advice;
  expect(advice({ tokens: 2e7, dropout: 0.1 })).toEqual(["dropout 0.1 costs loss when no token is seen twice: use 0"]);
  expect(advice({ tokens: 2e7 })).toEqual([]);
  expect(advice({ tokens: 1e8 })).toEqual(["only 20 % of the data are used: there is room to choose the best"]);
  expect(advice({ tokensPerParameter: 500 })).toEqual(["500 tokens per parameter is far from 5 to 20"]);
  expect(() => planTraining({})).toThrow("a plan needs --flops or --parameters");
  expect(() => planTraining({ flops: -1 })).toThrow("--flops -1 is not a number above 0");
});

test("a forecast goes on along the law that the losses follow", () => {
  const loss = (step: number) => 2 + 6 * step ** -0.5;
  const points = Array.from({ length: 20 }, (_, i) => [50 * (i + 1), loss(50 * (i + 1))] as const);
  expect(forecast(points, [4000, 1e4]).losses).toEqual(close([loss(4000), loss(1e4)], 2));
});

test("the exact graph: an edge where a half share of another skill beats the whole of one's own", () => {
  const start = [4, 4, 4];
  const alone = [2, 3, 4]; // drops 2, 1, 0
  const pairs = [
    [2, 2.5, 1],
    [3, 3, 1],
    [1.5, 3.5, 4],
  ];
  expect(exactGraph(start, alone, pairs)).toEqual([
    [1, 0.5, 0],
    [0, 1, 0],
    [0.25, 0, 1],
  ]);
  expect(() => exactGraph(start, alone, [[1]])).toThrow("losses of pairs are 1 x 1, expected 3 x 3");
  expect(() => exactGraph(start, [1], pairs)).toThrow("there are 1 losses of single skills, expected 3");
});

test("the cheap graph: what is left of every loss after training on one skill", () => {
  const after = [
    [1, 4],
    [3, 1],
  ];
  expect(approximateGraph([4, 2], after).flat()).toEqual(close([0.75, 0, 0.25, 0.5]));
});

test("a graph by hand: ones on the diagonal, halves for edges", () => {
  expect(handGraph(["a", "b:c", "d"], ["a:d", "b:c:a", "d:d"])).toEqual([
    [1, 0, 0.5],
    [0.5, 1, 0],
    [0, 0, 1],
  ]);
  expect(() => handGraph(["a", "b"], ["a-b"])).toThrow("edge a-b does not name two groups");
});
