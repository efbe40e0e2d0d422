/** Context distillation: what a teacher says behind a text, compared at the student's own positions. */
import { afterAll, describe, expect, test } from "bun:test";
import { collate } from "../../src/data/batch.ts";
import { byteTokenizer } from "../../src/data/byte-tokenizer.ts";
import { targetsOf } from "../../src/data/targets.ts";
import type { DistillMethod } from "../../src/distill/contract.ts";
import { method as kd } from "../../src/distill/methods/kd.ts";
import { behindText, prefixedTeacher, prefixedTokens } from "../../src/distill/prefixed.ts";
import type { OpenTeachers } from "../../src/distill/teachers.ts";
import { Model } from "../../src/model/model.ts";
import { liveTeacher } from "../../src/run/teachers/teacher.ts";
import type { Opened } from "../../src/run/training/technique.ts";
import { beliefs, sequencesOf } from "../experiments/distill-support.ts";
import { sharedGpu } from "../support/gpu.ts";
import { TINY_TEXT } from "../support/tiny-models.ts";
import { lossOf } from "./objective.ts";

const gpu = await sharedGpu();
const method = kd as never as DistillMethod;
const BOS = 1;
const rows = sequencesOf([
  [BOS, 5, 6, 7, 8],
  [9, 10, 11],
  [BOS, 12, 13, 14, 15, 16, 17],
]).map((row, i) => (i === 2 ? { ...row, labels: row.ids.map((id, t) => (t < 3 ? -100 : id)) } : row));
const padded = collate(
  rows.map((row) => [row]),
  { buckets: "none" },
);
const packed = collate([[rows[0]!, rows[1]!], [rows[2]!]], { buckets: "none" });
const prefix = { ids: Int32Array.of(20, 21, 22), bos: BOS };

const student = await Model.fresh(gpu, TINY_TEXT.llama!, "student", { seed: 1 });
const teacher = await Model.fresh(gpu, { ...TINY_TEXT.llama!, initializer_range: 0.2 }, "teacher", {
  seed: 2,
  freeze: () => true,
});
afterAll(() => {
  student.free();
  teacher.free();
});
const live = liveTeacher(teacher, teacher.sizes.outputs);

describe.each([
  ["padded", padded],
  ["packed", packed],
] as const)("%s rows", (_, batch) => {
  test("stand behind the prefix, which follows the token that begins a row", () => {
    const { batch: seen, places, targets } = prefixedTokens(prefix)(batch);
    const texts = rows.map((_, i) => [...seen.ids.subarray(i * seen.length, i * seen.length + seen.lengths[i]!)]);
    expect(texts).toEqual([
      [BOS, 20, 21, 22, 5, 6, 7, 8],
      [20, 21, 22, 9, 10, 11],
      [BOS, 20, 21, 22, 12, 13, 14, 15, 16, 17],
    ]);
    expect([...targets]).toEqual([...targetsOf(batch)]);
    for (const [n, place] of places.entries()) {
      if (place < 0 || batch.ids[n] === BOS) continue;
      expect(seen.ids[place]).toBe(batch.ids[n]!);
    }
  });

  test("the loss is KL to what the teacher says there, in float64", async () => {
    const read = prefixedTokens(prefix);
    const { batch: seen, places } = read(batch);
    const every = { ...seen, labels: seen.labels.map((_, i) => seen.ids[i]!) };
    const all = targetsOf(every);
    const rowsSaid = [...all.keys()].filter((i) => all[i]! >= 0);
    const theirs = await beliefs(teacher, every);
    const at = new Map(rowsSaid.map((row, k) => [row, theirs.p[k]!]));
    const mine = await beliefs(student, batch);
    const counted = [...targetsOf(batch).keys()].filter((i) => targetsOf(batch)[i]! >= 0);
    const kl = counted.map((n, k) =>
      at.get(places[n]!)!.reduce((sum, p, v) => sum + p * Math.log(p / mine.p[k]![v]!), 0),
    );
    const found = await lossOf({ model: student, method, teachers: [prefixedTeacher(live, read, 0)] }, batch);
    const exact = kl.reduce((a, b) => a + b, 0) / kl.length;
    expect(Math.abs(found.metrics.loss! / exact - 1)).toBeLessThan(1e-5);
    const without = await lossOf({ model: student, method, teachers: [live] }, batch);
    expect(Math.abs(without.metrics.loss! / exact - 1)).toBeGreaterThan(1e-3);
  });

  test("no prefix is the teacher as it is", async () => {
    const none = prefixedTeacher(live, prefixedTokens({ ids: new Int32Array(0) }), 0);
    const one = await lossOf({ model: student, method, teachers: [live] }, batch);
    const two = await lossOf({ model: student, method, teachers: [none] }, batch);
    expect(Math.abs(two.metrics.loss! / one.metrics.loss! - 1)).toBeLessThan(2e-6);
    for (const [i, g] of one.gradients.entries()) expect(Math.abs(g - two.gradients[i]!)).toBeLessThan(1e-6);
  });
});

test("a text counts against the teacher's positions, and its samples are refused", () => {
  const asked: number[] = [];
  const opened = { read: [], refuses: {}, checkLength: (n: number) => asked.push(n) } as never as OpenTeachers;
  const tools = { tokenizer: byteTokenizer(), files: new Map(), encode: {} };
  const behind = behindText(opened, "abc", { tools, ref: "student" } as never as Opened);
  behind.checkLength!(5);
  expect(asked).toEqual([8]);
  expect(behind.refuses.samples![0]).toContain("without --teacher-prefix");
  expect(() => behindText(opened, "", { tools, ref: "student" } as never as Opened)).toThrow("has no tokens");
  expect(() => behindText(opened, "a", { tools: undefined, ref: "student" } as never as Opened)).toThrow(
    "student has no tokenizer",
  );
});
