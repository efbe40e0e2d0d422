import { expect, test } from "bun:test";
import { meanOf, studentT } from "../../src/run/student-t.ts";
import { geneOf, wordsOf } from "../../src/sweep/values.ts";

test("values are choices, ranges, or points of a range", () => {
  expect(geneOf("method=ga,npo")).toEqual({ kind: "choice", name: "method", choices: ["ga", "npo"], default: "ga" });
  expect(geneOf("lr=1e-4..1e-2:log")).toEqual({
    kind: "real",
    name: "lr",
    low: 1e-4,
    high: 1e-2,
    log: true,
    default: 1e-3,
  });
  expect(geneOf("lora-rank=2..8:int")).toEqual({ kind: "integer", name: "lora_rank", low: 2, high: 8, default: 5 });
  expect(geneOf("lr=1e-4..1e-1:log:4")).toMatchObject({ kind: "choice", choices: [1e-4, 1e-3, 1e-2, 1e-1] });
  expect(geneOf("rank=1..64:log:int:4")).toMatchObject({ choices: [1, 4, 16, 64] });
  expect(geneOf("beta=-1..1:5")).toMatchObject({ choices: [-1, -0.5, 0, 0.5, 1] });
  expect(geneOf("data=a..b.jsonl")).toMatchObject({ kind: "choice", choices: ["a..b.jsonl"] });
  for (const text of [
    "lr",
    "lr=",
    "=1",
    "lr=1,,2",
    "lr=1,1",
    "lr=1..8:int:log",
    "lr=0.5..2:int",
    "lr=1..2:1",
    "lr=1..2:3:4",
  ])
    expect(() => geneOf(text)).toThrow();
});

test("words of a point are those of a shell", () => {
  const space = [geneOf("lr=1e-4..1e-2:log"), geneOf("lora_rank=2,4")];
  expect(wordsOf(space, [1 / 3, "4"])).toEqual(["--lr=0.333333333333", "--lora-rank=4"]);
});

test("quantiles of Student's t are those of tables", () => {
  const table = [12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228];
  for (const [i, t] of table.entries()) expect(studentT(i + 1)).toBeCloseTo(t, 3);
  expect(studentT(30)).toBeCloseTo(2.042, 3);
  expect(studentT(120)).toBeCloseTo(1.98, 3);
});

test("a mean has an interval where there are two values", () => {
  expect(meanOf([3])).toEqual({ mean: 3, half: undefined, count: 1 });
  const { mean, half } = meanOf([1, 2, 3]);
  expect([mean, half]).toEqual([2, expect.closeTo(4.3027 / Math.sqrt(3), 3)]);
});
