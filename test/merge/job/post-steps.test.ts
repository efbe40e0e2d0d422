/** LiNeS as a step after a merge: scales by depth. */
import { expect, test } from "bun:test";
import { linesScales } from "../../../src/merge/job/post-steps.ts";
import { covers } from "../../support/covers.ts";
import { entry } from "../plan/fixtures.ts";

covers("merge/rescale-change");

const task = (depth: number | undefined, base = true) => ({
  ...{ name: "w", shape: [4], outDtype: "F32" as const, workDtype: "F32" as const, models: [], modelIndex: [] },
  ...{ depth, ...(base && { base: entry("w", "F32", [4]) }) },
});

test("the scale grows with depth and is alpha outside the blocks", () => {
  const scale = linesScales({ tensors: [task(0)] }, { lines_alpha: 0.2, lines_beta: 0.8 });
  expect([undefined, 0, 0.5, 1].map((depth) => scale(task(depth)))).toEqual([0.2, 0.2, 0.6000000000000001, 1]);
});

test("needs a base", () => {
  expect(() => linesScales({ tensors: [task(0, false)] }, {})).toThrow(
    "--post lines scales the change from a base, but this merge has none",
  );
});
