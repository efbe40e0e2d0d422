import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { method as consensus } from "../../../../src/merge/methods/task-vectors/consensus.ts";
import { normal, randomArray } from "../../../experiments/support.ts";
import { covers } from "../../../support/covers.ts";
import { expectWithin } from "../../../support/floats.ts";
import { sharedGpu } from "../../../support/gpu.ts";
import { writeCheckpoint } from "../../checkpoint-file.ts";
import { mergeOne } from "../../merge-arrays.ts";

covers("merge/consensus");

const gpu = await sharedGpu();
const folder = mkdtempSync(path.join(os.tmpdir(), "consensus-"));
afterAll(() => rmSync(folder, { recursive: true }));

const array = (size: number, seed: number) => randomArray(size, normal(seed)).map(Math.fround);
const SHAPE = [9, 57];
const base = array(513, 1);
const models = [2, 3, 4].map((seed) => array(513, seed));
const tau = models.map((model) => model.map((x, i) => x - base[i]!));

interface Given {
  readonly threshold?: number;
  readonly least?: number;
  readonly task?: number;
  readonly lambda?: number;
}

/** The masked change, in f64. */
function reference({ threshold = 0.4, least = 2, task, lambda = 1 }: Given, joint?: ArrayLike<number>): Float64Array {
  return base.map((b, i) => {
    const whole = joint ? joint[i]! - b : tau.reduce((sum, own) => sum + own[i]!, 0);
    const needs = tau.map((own) => Math.abs(own[i]!) >= threshold * Math.abs(whole - own[i]!));
    const kept = task ? needs[task - 1]! : needs.filter(Boolean).length >= least;
    return b + (kept ? lambda * whole : 0);
  });
}

const CASES: Given[] = [
  {},
  { threshold: 0.2, least: 3, lambda: 0.3 },
  { threshold: 1 },
  { task: 1 },
  { task: 3 },
  { least: 0 },
];

test("keeps of the sum, or of a merged model's change, what enough models need, or what one needs", async () => {
  const joint = path.join(folder, "joint.safetensors");
  const merged = array(513, 7);
  writeCheckpoint(joint, { w: { shape: SHAPE, values: merged } });
  for (const given of CASES)
    for (const more of [{}, { joint }]) {
      const options = { values: { ...given, ...more }, chunkValues: 114 };
      const found = await mergeOne(gpu, consensus, { shape: SHAPE, base, models }, options);
      const wanted = reference(given, "joint" in more ? merged : undefined);
      const off = [...found].filter((x, i) => Math.abs(x - wanted[i]!) > 1e-5);
      expect(off.length).toBeLessThanOrEqual(1); // a value at the threshold may fall to the other side in f32
    }
});

test("a threshold of 0 keeps the whole sum, and values that no two models need stay those of the base", async () => {
  const all = await mergeOne(gpu, consensus, { shape: SHAPE, base, models }, { values: { threshold: 0 } });
  expectWithin(all, reference({ threshold: 0 }), () => 1e-5);
  const apart = models.map((model, k) => model.map((x, i) => (i % 3 === k ? x : base[i]!)));
  const found = await mergeOne(gpu, consensus, { shape: SHAPE, base, models: apart });
  expect(found).toEqual(Float32Array.from(base));
});

test("says what a merged model lacks", async () => {
  const joint = path.join(folder, "other.safetensors");
  writeCheckpoint(joint, { other: { shape: SHAPE, values: base } });
  const told: string[] = [];
  const remark = (what: string, name: string) => told.push(`${what}: ${name}`);
  await mergeOne(gpu, consensus, { shape: SHAPE, base, models }, { values: { joint }, remark });
  expect(told).toEqual([`left as in the base, since ${joint} lacks it: w`]);
});
