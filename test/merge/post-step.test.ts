/** Steps after a merge: the scale of each tensor's change from the base. */
import { expect, test } from "bun:test";
import { scalesAfter } from "../../src/merge/post-step.ts";
import { bindDefaults } from "../../src/method/bind.ts";
import { loadMethod } from "../../src/method/registry.ts";
import { entry } from "./plan/fixtures.ts";

const lines = bindDefaults(await loadMethod("post", "lines"));

const task = (depth: number | undefined, base = true) => ({
  ...{ name: "w", shape: [4], outDtype: "F32" as const, workDtype: "F32" as const, models: [], modelIndex: [] },
  ...{ depth, ...(base && { base: entry("w", "F32", [4]) }) },
});

test("the scale of lines grows with depth and is alpha outside the blocks", () => {
  const scale = scalesAfter(lines, [task(0)]);
  expect([undefined, 0, 0.5, 1].map((depth) => scale(task(depth)))).toEqual([0.2, 0.2, 0.6000000000000001, 1]);
});

test("a step needs a base", () => {
  expect(() => scalesAfter(lines, [task(0, false)])).toThrow(
    "--post lines scales the change from a base, but this merge has none",
  );
});
