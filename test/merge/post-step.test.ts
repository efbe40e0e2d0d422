/** Steps after a merge: the scale of each tensor's change from the base. */
import { expect, test } from "bun:test";
import { checkStep, scalesAfter } from "../../src/merge/post-step.ts";
import { bindDefaults } from "../../src/method/bind.ts";
import { loadMethod } from "../../src/method/registry.ts";
import { entry } from "./plan/fixtures.ts";

const lines = bindDefaults(await loadMethod("post", "lines"));

const task = (depth: number | undefined, base = true) => ({
  ...{ name: "w", shape: [4], outDtype: "F32" as const, workDtype: "F32" as const, models: [], modelIndex: [] },
  ...{ depth, ...(base && { base: entry("w", "F32", [4]) }) },
});

const unmeasured = () => Promise.reject(new Error("measured"));

test("the scale of lines grows with depth and is alpha outside the blocks", async () => {
  const scale = await scalesAfter(lines, [task(0)], unmeasured);
  expect([undefined, 0, 0.5, 1].map((depth) => scale(task(depth)))).toEqual([0.2, 0.2, 0.6000000000000001, 1]);
});

test("a step needs a base", () => {
  expect(() => checkStep(lines, [task(0, false)], false)).toThrow(
    "--post lines scales the change from a base, but this merge has none",
  );
});

const several = { ...task(0), models: [entry("w", "F32", [4]), entry("w", "F32", [4])] };

test("of several models alpha comes from the norms of their changes", async () => {
  const measure = async () => ({ summed: 6, merged: 4, models: 2 });
  const scale = await scalesAfter(lines, [several], measure);
  expect([undefined, 0, 0.5, 1].map((depth) => scale(task(depth)))).toEqual([0.75, 0.75, 0.875, 1]);
  const large = await scalesAfter(lines, [several], async () => ({ summed: 9, merged: 3, models: 2 }));
  expect([0, 1].map((depth) => large(task(depth)))).toEqual([1.5, 1.5]);
});

test("models that are measured cannot be streams", () => {
  expect(() => checkStep(lines, [several], true)).toThrow("--post lines reads the models twice");
  expect(() => checkStep(lines, [task(0)], true)).not.toThrow();
});
