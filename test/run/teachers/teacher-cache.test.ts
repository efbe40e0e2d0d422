/** A teacher that was written down stands in for one that runs. */

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { openPlain } from "../../../src/checkpoint/open.ts";
import { collate, type TokenBatch } from "../../../src/data/batch.ts";
import type { Sequence } from "../../../src/data/sequences.ts";
import type { DistillMethod } from "../../../src/distill/contract.ts";
import { teacherCache } from "../../../src/distill/teacher-cache.ts";
import { UserError } from "../../../src/errors.ts";
import { has } from "../../../src/method/capability.ts";
import { loadMethods } from "../../../src/method/registry.ts";
import { Model } from "../../../src/model/model.ts";
import { AllLogits } from "../../../src/run/scoring/all-logits.ts";
import { cachedTeacher, liveTeacher } from "../../../src/run/teachers/teacher.ts";
import { TeacherCache } from "../../../src/run/teachers/teacher-cache.ts";
import { topLogProbs, writeCache } from "../../../src/run/teachers/write-teacher-cache.ts";
import { lossOf } from "../../distill/objective.ts";
import { beliefs } from "../../experiments/distill-support.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { normals, randomUnits } from "../../support/random.ts";
import { TINY_TEXT } from "../../support/tiny-models.ts";

const gpu = await sharedGpu();
const V = 50;
const folder = fs.mkdtempSync(path.join(os.tmpdir(), "ingot-cache-"));
const config = TINY_TEXT.llama!;
const teacher = await Model.fresh(gpu, config, "teacher", { seed: 1, freeze: () => true });
const student = await Model.fresh(gpu, { ...config, hidden_size: 16, head_dim: 8 }, "student", { seed: 2 });
const live = liveTeacher(teacher, V);

const unit = randomUnits(5);
const sequences: Sequence[] = [9, 14, 1, 2, 11].map((length, i) => {
  const ids = Int32Array.from({ length }, () => Math.floor(unit() * V));
  const labels = ids.map((id, t) => (i === 1 && t < 6 ? -100 : id)); // a prompt, then what counts
  return { ids, labels, group: 0, place: `rows.jsonl:${i + 1}` };
});
const batchOf = (rows: readonly Sequence[]): TokenBatch => collate(rows.map((row) => [row]));
const written = async (k: number, rows: readonly Sequence[] = sequences): Promise<TeacherCache> => {
  const file = path.join(folder, `top${k}-${rows.length}.safetensors`);
  const given = { ref: "teacher", k, rows: 2, pad: 0, lineage: [], signal: new AbortController().signal };
  await writeCache(file, new AllLogits(teacher), rows, given);
  return TeacherCache.open(file);
};

const SPARSE: [string, DistillMethod][] = (await loadMethods("distill"))
  .filter((method) => has(method, teacherCache))
  .map((method) => [method.name, method]);
const values = { t: 0.6 };
const gap = (a: Float32Array, b: Float32Array) => {
  const norm = (x: Float32Array) => Math.hypot(...x);
  return norm(a.map((x, i) => x - b[i]!)) / norm(a);
};

let all: TeacherCache;
beforeAll(async () => {
  all = await written(V);
});
afterAll(() => {
  all.close();
  teacher.free();
  student.free();
  fs.rmSync(folder, { recursive: true, force: true });
});

test("there are methods that learn from a cache", () => expect(SPARSE.length).toBeGreaterThan(5));

describe("everything kept is the live teacher", () => {
  test.each(SPARSE)("%s", async (_, method) => {
    const batch = batchOf(sequences);
    const one = await lossOf({ model: student, method, teachers: [live], values }, batch);
    const two = await lossOf({ model: student, method, teachers: [cachedTeacher(all)], values }, batch);
    expect(Math.abs(two.metrics.loss! / one.metrics.loss! - 1)).toBeLessThan(2e-6);
    expect(gap(one.gradients, two.gradients)).toBeLessThan(5e-6);
  });

  test("at another temperature", async () => {
    const method = SPARSE.find(([name]) => name === "kd")![1];
    const batch = batchOf(sequences);
    const settings = { temperature: 3 };
    const one = await lossOf({ model: student, method, teachers: [live], settings }, batch);
    const two = await lossOf({ model: student, method, teachers: [cachedTeacher(all)], settings }, batch);
    expect(Math.abs(two.metrics.loss! / one.metrics.loss! - 1)).toBeLessThan(2e-6);
    expect(gap(one.gradients, two.gradients)).toBeLessThan(5e-6);
  });
});

/**
 * Error of the gradient, relative to its length, of models that were never trained, whose tails are heavy. Of 50
 * tokens:
 *
 *   k          2      6      12     25     40
 *   kd         0.58   0.41   0.24   0.10   0.016
 *   tvd        0.89   0.61   0.41   0.12   0.016
 *   skew-kl    0.77   0.63   0.41   0.19   0.033
 *   jsd        0.84   0.70   0.51   0.26   0.051
 *   skew-rkl   0.89   0.77   0.59   0.31   0.053
 *   taid 0.6   0.83   0.71   0.55   0.31   0.081
 *   reverse-kl 0.97   0.92   0.85   0.71   0.35     what the teacher rules out is what it punishes
 */
describe("the top k", () => {
  test.each(SPARSE)("%s: the more is kept, the closer is its gradient", async (name, method) => {
    const batch = batchOf(sequences);
    const whole = await lossOf({ model: student, method, teachers: [live], values }, batch);
    const errors: number[] = [];
    const losses: number[] = [];
    for (const k of [2, 6, 12, 25, 40]) {
      const cache = await written(k);
      const kept = await lossOf({ model: student, method, teachers: [cachedTeacher(cache)], values }, batch);
      cache.close();
      errors.push(gap(whole.gradients, kept.gradients));
      losses.push(kept.metrics.loss!);
    }
    if (process.env.INGOT_TEST_ERRORS) console.error(name, errors.map((error) => error.toFixed(4)).join(" "));
    for (let i = 1; i < errors.length; i++) expect(errors[i]!).toBeLessThan(errors[i - 1]!);
    expect(errors.at(-1)!).toBeLessThan(0.4);
    // Tokens in one bucket look alike, so no divergence grows: a loss that is 0 where teacher and student agree.
    if (method.laws.zeroAtTeacher === true)
      for (const loss of losses) expect(loss).toBeLessThan(whole.metrics.loss! * (1 + 1e-6));
  });
});

describe("a row of logits", () => {
  const logits = normals(3, 20, 2);
  const lse = Math.log(logits.reduce((sum, x) => sum + Math.exp(x), 0));

  test.each([1, 5, 19, 20, 30])("its %d largest, and what the others have together", (k) => {
    const { ids, logProbs, tail } = topLogProbs(logits, k);
    const n = Math.min(k, 20);
    const order = [...logits.keys()].sort((a, b) => logits[b]! - logits[a]!).slice(0, n);
    expect([...ids]).toEqual(order.sort((a, b) => a - b));
    let mass = 0;
    for (const [j, id] of ids.entries()) {
      expect(logProbs[j]).toBeCloseTo(logits[id]! - lse, 5);
      mass += Math.exp(logProbs[j]!);
    }
    if (n === 20) expect(tail).toBe(-1e30);
    else expect(mass + Math.exp(tail)).toBeCloseTo(1, 6);
  });

  test("of equal ones the first are kept", () => {
    expect([...topLogProbs(Float32Array.of(1, 3, 3, 3, 0, 3), 3).ids]).toEqual([1, 2, 3]);
    expect([...topLogProbs(new Float32Array(6), 2).ids]).toEqual([0, 1]);
    expect([...topLogProbs(Float32Array.of(5, 1, 1), 2).ids]).toEqual([0, 1]);
    expect([...topLogProbs(Float32Array.of(0, -0, 0), 2).ids]).toEqual([0, 1]);
  });

  test("large logits, and a tail too small for f32", () => {
    const { logProbs, tail } = topLogProbs(Float32Array.of(3e4, 3e4, -3e4), 2);
    expect(logProbs[0]).toBeCloseTo(-Math.LN2, 6);
    expect(tail).toBe(-1e30);
    const far = topLogProbs(Float32Array.of(0, -300), 1);
    expect(far.tail).toBeCloseTo(-300, 9);
  });
});

describe("the file", () => {
  test("holds what its layout says", async () => {
    const cache = await written(4);
    const opened = await openPlain(cache.checkpoint.ref);
    // 1 + 2 + 9 + 11 + 14 tokens, of which the first of each row is predicted by nothing.
    const shapes = Object.fromEntries(
      [...opened.tensors.values()].map(({ name, shape, dtype }) => [name, [dtype, ...shape]]),
    );
    expect(shapes).toEqual({
      ids: ["I32", 32, 4],
      log_probs: ["F32", 32, 4],
      tail: ["F32", 32],
      starts: ["I32", 6],
      losses: ["F32", 5],
      rows: ["U32", 5, 2],
      vocabulary: ["I32", 1],
    });
    const bytes = new Uint8Array(opened.tensors.get("starts")!.bytes);
    await opened.tensors.get("starts")!.read(bytes, 0);
    expect([...new Int32Array(bytes.buffer)]).toEqual([0, 8, 21, 21, 22, 32]);
    expect([cache.k, cache.vocabulary]).toEqual([4, V]);
    opened.close();
    cache.close();
  });

  test("rows of the same tokens are written once", async () => {
    const twice = await written(3, [...sequences, sequences[0]!, { ...sequences[3]!, place: "again.jsonl:1" }]);
    expect(twice.checkpoint.tensors.get("starts")!.shape).toEqual([6]);
    twice.close();
  });

  test("gives rows in any order, in batches of any shape", async () => {
    const whole = await all.rows(batchOf(sequences));
    const at = (from: { ids: Int32Array; logits: Float32Array }, length: number, row: number, t: number) => {
      const i = row * length + t;
      return [...from.ids.subarray(i * V, (i + 1) * V), ...from.logits.subarray(i * (V + 1), (i + 1) * (V + 1))];
    };
    const order = [4, 0, 1];
    const other = await all.rows(batchOf(order.map((i) => sequences[i]!)));
    for (const [row, i] of order.entries())
      for (let t = 0; t < sequences[i]!.ids.length - 1; t++) expect(at(other, 16, row, t)).toEqual(at(whole, 16, i, t));
  });

  test("several rows in one, where they lie", async () => {
    const [first, second] = [sequences[0]!, sequences[4]!];
    const packed = collate([[first, second]]);
    const { logits } = await all.rows(packed);
    const alone = await all.rows(batchOf([second]));
    const start = first.ids.length * (V + 1);
    expect(logits.slice(start, start + 10 * (V + 1))).toEqual(alone.logits.slice(0, 10 * (V + 1)));
  });

  test("a row that it was not asked about is refused, with its place", async () => {
    const strange = { ...sequences[0]!, ids: sequences[0]!.ids.toReversed(), place: "other.jsonl:7" };
    expect(all.rows(batchOf([sequences[1]!, strange]))).rejects.toThrow(
      /^other\.jsonl:7: the teacher cache .* does not know this row$/,
    );
  });

  test("another file is refused", async () => {
    const file = path.join(folder, "other.safetensors");
    const cache = await written(2);
    fs.copyFileSync(cache.checkpoint.ref, file);
    cache.close();
    const text = fs.readFileSync(file, "latin1").replace('"starts"', '"sterts"');
    fs.writeFileSync(file, text, "latin1");
    expect(TeacherCache.open(file)).rejects.toThrow("is not a teacher cache: it has no starts");
  });

  test("rows that are missing are counted before any is drawn", () => {
    const strange = [3, 5].map((i) => ({ ...sequences[0]!, ids: Int32Array.of(i, i, i), place: `other.jsonl:${i}` }));
    all.check(sequences);
    expect(() => all.check([...sequences, ...strange])).toThrow(
      /^other\.jsonl:3: the teacher cache .* does not know this row; it lacks 2 of 7$/,
    );
    expect(() => all.check(strange.slice(0, 1))).toThrow(/does not know this row$/);
  });

  /** A copy of a cache of the top 4 in which one word of a tensor is another one. */
  const changed = async (name: string, index: number, value: number): Promise<string> => {
    const cache = await written(4);
    const bytes = fs.readFileSync(cache.checkpoint.ref);
    cache.close();
    const header = Number(bytes.readBigUInt64LE(0));
    const { [name]: entry } = JSON.parse(bytes.toString("utf8", 8, 8 + header));
    const at = 8 + header + entry.data_offsets[0] + 4 * index;
    if (entry.dtype === "F32") bytes.writeFloatLE(value, at);
    else bytes.writeInt32LE(value, at);
    const file = path.join(folder, "changed.safetensors");
    fs.writeFileSync(file, bytes);
    return file;
  };
  const refusal = async (work: Promise<unknown>) => {
    const error = await work.then(
      () => undefined,
      (error) => error,
    );
    expect(error).toBeInstanceOf(UserError);
    expect(error.exitCode).toBe(2);
    return error.message.replace(`${folder}/`, "") as string;
  };

  test.each([
    ["starts", 0, 1, "starts[0] is 1, expected 0 to 0"],
    ["starts", 1, 0x20000, "starts[1] is 131072, expected 0 to 32"],
    ["starts", 2, 3, "starts[2] is 3, expected 8 to 32"],
    ["starts", 5, 31, "starts[5] is 31, expected 32"],
    ["vocabulary", 0, 3, "ids has 4 columns, vocabulary[0] is 3"],
    ["vocabulary", 0, -1, "ids has 4 columns, vocabulary[0] is -1"],
  ])("%s[%i] = %p is refused when it is opened", async (name, index, value, message) => {
    const file = await changed(name, index, value);
    expect(await refusal(TeacherCache.open(file))).toBe(`changed.safetensors: ${message}`);
  });

  test("rows that lie elsewhere are refused", async () => {
    const cache = await TeacherCache.open(await changed("starts", 1, 7));
    expect(await refusal(cache.rows(batchOf(sequences)))).toBe(
      "changed.safetensors: starts[1] is 7, expected 8 for rows.jsonl:1",
    );
    expect(() => cache.check(sequences)).toThrow("starts[1] is 7");
    cache.close();
  });

  // Entry 50 is column 2 of token 12, a token of the second row.
  test.each([
    ["ids", 50, 50, "ids[12, 2] is 50, expected 0 to 49"],
    ["ids", 50, -1, "ids[12, 2] is -1, expected 0 to 49"],
    ["ids", 50, 0, /^changed.safetensors: ids\[12, 2\] is 0 after \d+, expected a larger one$/],
    ["log_probs", 50, 0.25, "log_probs[12, 2] is 0.25, expected a finite number of at most 0"],
    ["log_probs", 50, Number.NaN, "log_probs[12, 2] is NaN, expected a finite number of at most 0"],
    ["log_probs", 50, Number.NEGATIVE_INFINITY, "log_probs[12, 2] is -Infinity, expected a finite number of at most 0"],
    ["log_probs", 50, -0.1, /the probabilities of log_probs\[12\] and tail\[12\] sum to 1\.\d+, expected 1$/],
    ["tail", 12, Number.NEGATIVE_INFINITY, "tail[12] is -Infinity, expected a finite number of at most 0"],
    ["tail", 12, Number.NaN, "tail[12] is NaN, expected a finite number of at most 0"],
    ["tail", 12, -1e30, /the probabilities of log_probs\[12\] and tail\[12\] sum to 0\.\d+, expected 1$/],
  ])("%s[%i] = %p is refused when its row is read", async (name, index, value, message) => {
    const cache = await TeacherCache.open(await changed(name, index, value));
    await cache.rows(batchOf([sequences[0]!]));
    const told = await refusal(cache.rows(batchOf(sequences)));
    if (typeof message === "string") expect(told).toBe(`changed.safetensors: ${message}`);
    else expect(told).toMatch(message);
    cache.close();
  });

  test("a tensor of another type or shape is refused", async () => {
    const file = await changed("tail", 0, -1);
    fs.writeFileSync(file, fs.readFileSync(file, "latin1").replace(/("tail":\{"dtype":")F32/, "$1I32"), "latin1");
    expect(await refusal(TeacherCache.open(file))).toBe("changed.safetensors: tail is I32 (32), expected F32 (32)");
  });

  test("logits that are not finite are not written; impossible tokens are", async () => {
    const file = path.join(folder, "never.safetensors");
    const broken = await Model.fresh(gpu, config, "broken", { seed: 1 });
    const norm = broken.parameters.get("model.norm.weight")!;
    norm.write(new Float32Array(norm.size).fill(Number.NaN));
    const given = { ref: "broken/", k: 3, rows: 2, pad: 0, lineage: [], signal: new AbortController().signal };
    const error = await writeCache(file, new AllLogits(broken), sequences, given).catch((error) => error);
    expect(error.message).toBe("broken/: the logits of rows.jsonl:1, token 0, are not finite");
    expect(error.exitCode).toBe(1);
    expect(fs.existsSync(file)).toBe(false);
    broken.free();
    const { logProbs, tail } = topLogProbs(Float32Array.of(1, Number.NEGATIVE_INFINITY, 1), 3);
    expect([...logProbs]).toEqual([-Math.LN2, -1e30, -Math.LN2].map(Math.fround));
    expect(tail).toBe(-1e30);
  });
});

test("it says how well the teacher predicts each row's labels", async () => {
  const cache = await written(4);
  for (const row of sequences.filter(({ ids }) => ids.length > 1)) {
    const batch = collate([[row]], { buckets: "none" });
    const { p, targets } = await beliefs(teacher, batch);
    const mean = p.reduce((sum, own, i) => sum - Math.log(own[targets[i]!]!), 0) / p.length;
    expect(Math.abs(cache.lossOf(row) - mean)).toBeLessThan(1e-5);
  }
});

test("packed codes are read as what was said, in fewer bytes; a false layout is refused", async () => {
  const file = path.join(folder, "packed.safetensors");
  const codes = { exact: 4, terms: ["1", "t", "sqrt"], bits: 8 } as const;
  const given = { ref: "teacher", k: 12, rows: 2, pad: 0, lineage: [], signal: new AbortController().signal };
  const { bytes } = await writeCache(file, new AllLogits(teacher), sequences, { ...given, codes });
  const [packed, plain] = [await TeacherCache.open(file), await written(12)];
  expect(packed.k).toBe(12);
  expect(bytes).toBeLessThan(32 * (8 * 12 + 4) * 0.6);
  const batch = batchOf(sequences);
  const [one, two] = [await plain.rows(batch), await packed.rows(batch)];
  expect(two.ids).toEqual(one.ids);
  for (const [i, value] of one.logits.entries()) {
    if (value > -20 && (i + 1) % 13 !== 0) expect(Math.abs(two.logits[i]! - value)).toBeLessThan(0.05);
  }
  packed.close();
  const whole = fs.readFileSync(file);
  const layout = Buffer.from(Int32Array.of(12, 4, 8, 35).buffer); // the terms are the first, the second and the last
  whole.set(new Uint8Array(Int32Array.of(12, 40, 8, 35).buffer), whole.indexOf(layout));
  fs.writeFileSync(file, whole);
  await expect(TeacherCache.open(file)).rejects.toThrow("layout is 12, 40, 8, 35 for 50 outputs");
});
