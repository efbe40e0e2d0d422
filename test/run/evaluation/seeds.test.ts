import { expect, test } from "bun:test";
import type { LineageEntry } from "../../../src/checkpoint/checkpoint.ts";
import { runId } from "../../../src/checkpoint/lineage/lineage.ts";
import { seedRuns } from "../../../src/run/evaluation/seeds.ts";

/** A step over the result of another, with a run id as a file has it. */
function step(script: string, seed: number, options: LineageEntry["options"] = {}, from?: LineageEntry): LineageEntry {
  const inputs = [{ ref: from ? `run:${from.run}` : "config.json", role: "model" }];
  const whole = { script, version: "1", options, seed, inputs };
  return { ...whole, run: runId(whole), time: "" };
}

const seedsOf = (runs: ReturnType<typeof seedRuns>) => runs.map((run) => run && [run.seeds_of, run.seed]);

test("runs are the same where their histories agree in all but seeds, also of the steps before", () => {
  const bases = [0, 1].map((seed) => step("train", seed, { steps: 5 }));
  const tuned = bases.map((base, seed) => step("unlearn", seed, { lr: 1 }, base));
  const models = [
    { ref: "out/npo-0/", lineage: [bases[0]!, tuned[0]!] },
    { ref: "out/npo-1/", lineage: [bases[1]!, tuned[1]!] },
    { ref: "out/base-0/", lineage: [bases[0]!] },
    { ref: "out/base-1/", lineage: [bases[1]!] },
    { ref: "out/other/", lineage: [bases[1]!, step("unlearn", 1, { lr: 2 }, bases[1])] },
    { ref: "hub/", lineage: [] },
  ];
  expect(seedsOf(seedRuns(models, "lineage"))).toEqual([
    ["out/npo-*/", "0"],
    ["out/npo-*/", "1"],
    ["out/base-*/", "0"],
    ["out/base-*/", "1"],
    undefined,
    undefined,
  ]);
  expect(seedRuns(models, "off")).toEqual(models.map(() => undefined));
});

test("a seed that is the same throughout is not told; those that differ are", () => {
  const base = step("train", 7);
  const models = [3, 10].map((seed) => ({ ref: `m${seed}`, lineage: [base, step("distill", seed, {}, base)] }));
  expect(seedsOf(seedRuns(models, "lineage"))).toEqual([
    ["m*", "3"],
    ["m*", "10"],
  ]);
});

test("the same run twice is no sample of seeds", () => {
  const [a, b] = [step("train", 0), step("train", 1)];
  const models = ["a", "again", "b"].map((ref, i) => ({ ref, lineage: [i === 2 ? b : a] }));
  expect(seedsOf(seedRuns(models, "lineage"))).toEqual([undefined, undefined, undefined]);
});

test("names serve where they are asked to, and never merge two recipes under one name", () => {
  const named = (...refs: string[]) => refs.map((ref) => ({ ref, lineage: [] }));
  const models = named("a-seed1/", "a-seed12/", "b_s3", "b_s4", "steps5", "steps6", "c-s1/x", "c-s1/y");
  expect(seedsOf(seedRuns(models, "names"))).toEqual([
    ["a-seed*/", "1"],
    ["a-seed*/", "12"],
    ["b_s*", "3"],
    ["b_s*", "4"],
    undefined,
    undefined,
    undefined,
    undefined,
  ]);
  expect(seedRuns(models, "lineage")).toEqual(models.map(() => undefined));
  const recipes = [0, 1, 2, 3].map((i) => ({ ref: `out/${i}`, lineage: [step("train", i, { lr: i < 2 ? 1 : 2 })] }));
  expect(seedRuns(recipes, "lineage").map((run) => run?.seeds_of)).toEqual([
    "out/*",
    "out/*",
    "out/2, out/3",
    "out/2, out/3",
  ]);
});
