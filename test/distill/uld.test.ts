/** Distilling across tokenizers: the loss, where two tokenizations meet, and both through the objective. */

import { afterAll, describe, expect, test } from "bun:test";
import { collate, type TokenBatch } from "../../src/data/batch.ts";
import { byteTokenizer } from "../../src/data/byte-tokenizer.ts";

import { loadTokenizer } from "../../src/data/load-tokenizer.ts";
import type { Sequence } from "../../src/data/sequences.ts";
import { targetsOf } from "../../src/data/targets.ts";
import type { Tokenizer } from "../../src/data/tokenizer.ts";

import type { DistillMethod } from "../../src/distill/contract.ts";
import { method } from "../../src/distill/methods/uld.ts";
import { foreignTeacher } from "../../src/distill/other-vocabulary.ts";
import { otherTokens, samePlaces } from "../../src/distill/same-places.ts";
import { Model } from "../../src/model/model.ts";
import { liveTeacher } from "../../src/run/teachers/teacher.ts";
import { beliefs } from "../experiments/distill-support.ts";
import { sharedGpu } from "../support/gpu.ts";
import { runOp } from "../support/program.ts";
import { normals } from "../support/random.ts";
import { TINY_TEXT } from "../support/tiny-models.ts";
import { lossOf } from "./objective.ts";

const gpu = await sharedGpu();
const uld = method as DistillMethod;

async function loss(student: ArrayLike<number>, teacher: ArrayLike<number>) {
  const { outputs, gradients } = await runOp(gpu, {
    inputs: {
      student: { shape: [1, student.length], data: Float32Array.from(student), grad: true },
      teacher: { shape: [1, teacher.length], data: Float32Array.from(teacher) },
      targets: { shape: [1], data: Int32Array.of(0), dtype: "i32" },
    },
    build: (rec, x) => uld.rows!(rec, { student: x.student!, teachers: [x.teacher!], targets: x.targets! } as never),
    seeds: { y: Float32Array.of(1) },
  });
  return { value: outputs.y![0]!, gradient: [...gradients.student!] };
}

describe("the loss", () => {
  const wide = [2, 1, 0, -1];
  const narrow = [0.5, 0.2, -0.1];

  test("is the card's value, from either side", async () => {
    expect(Math.abs((await loss(wide, narrow)).value - 0.478442)).toBeLessThan(2e-6);
    expect(Math.abs((await loss(narrow, wide)).value - 0.478442)).toBeLessThan(2e-6);
  });

  test("is nothing, and pulls nowhere, where both are equally certain of whatever it is", async () => {
    const { value, gradient } = await loss([1, -2, 0.5, 3], [3, 1, 0.5, -2]);
    expect(value).toBeLessThan(1e-6);
    for (const d of gradient) expect(Math.abs(d)).toBeLessThan(1e-6);
  });

  test("does not know tokens apart: a shuffled vocabulary changes its place and nothing else", async () => {
    const [student, teacher] = [normals(1, 9, 2), normals(2, 14, 2)];
    const plain = await loss(student, teacher);
    const order = [4, 0, 8, 2, 6, 1, 7, 3, 5];
    const shuffled = await loss(
      order.map((v) => student[v]!),
      [...teacher].reverse(),
    );
    expect(Math.abs(shuffled.value - plain.value)).toBeLessThan(1e-6);
    for (const [at, v] of order.entries())
      expect(Math.abs(shuffled.gradient[at]! - plain.gradient[v]!)).toBeLessThan(1e-6);
  });

  test("is at most 2, which two that agree on no rank would have", async () => {
    const flat = new Float32Array(4000);
    const sure = Float32Array.from({ length: 3 }, (_, v) => (v === 0 ? 60 : 0));
    const { value } = await loss(flat, sure);
    expect(value).toBeLessThan(2);
    expect(value).toBeGreaterThan(1.999);
  });
});

/** A reader whose tokens are these strings. */
const words = (tokens: readonly string[]) => ({
  decoder: () => ({ push: (id: number) => tokens[id]!, end: () => "" }),
});
const ids = (count: number) => Int32Array.from({ length: count }, (_, i) => i);

describe("the same places of a text", () => {
  const places = (own: readonly string[], other: readonly string[]) => [
    ...samePlaces(ids(own.length), words(own), ids(other.length), words(other)),
  ];

  test("are where a token of both ends", () => {
    expect(places(["th", "e ", "cat", "s"], ["the", " ", "ca", "ts"])).toEqual([-1, 1, -1, 3]);
    expect(places(["a", "b", "c"], ["abc"])).toEqual([-1, -1, 0]);
    expect(places(["abc"], ["a", "b", "c"])).toEqual([2]);
  });

  test("are every token of two equal tokenizations", () => {
    expect(places(["a", "bc", "d"], ["a", "bc", "d"])).toEqual([0, 1, 2]);
  });

  test("leave out what adds no text, but for a beginning that both have", () => {
    expect(places(["", "a", "b", ""], ["a", "", "b"])).toEqual([-1, 0, 2, -1]);
    expect(places(["", "a"], ["", "a"])).toEqual([0, 1]);
  });

  test("end where the texts part, or the other was cut off", () => {
    expect(places(["a", "b", "c"], ["a", "x", "c"])).toEqual([0, -1, -1]);
    expect(places(["a", "b", "c"], ["a", "b"])).toEqual([0, 1, -1]);
  });

  test("are not within a character", () => {
    const bytes = byteTokenizer();
    const own = bytes.encode("né!");
    expect(own).toHaveLength(4);
    const found = samePlaces(own, bytes, ids(3), words(["n", "é", "!"]));
    expect([...found]).toEqual([0, -1, 1, 2]);
    expect([...samePlaces(ids(3), words(["n", "é", "!"]), own, bytes)]).toEqual([0, 2, 3]);
  });
});

const LETTERS = ["a", "b", "c", " "];
const pairs = await loadTokenizer(
  new Map([
    [
      "tokenizer.json",
      new TextEncoder().encode(
        JSON.stringify({
          version: "1.0",
          added_tokens: [],
          normalizer: null,
          pre_tokenizer: null,
          post_processor: null,
          decoder: { type: "Fuse" },
          model: {
            type: "BPE",
            vocab: Object.fromEntries([...LETTERS, "ab", "abc", "ca"].map((token, id) => [token, id])),
            merges: ["a b", "ab c", "c a"],
          },
        }),
      ),
    ],
  ]),
  "pairs",
);
const bytes = byteTokenizer();
const TEXTS = ["abc cab", "bb", "a cabcab a", "c"];
const sequences: Sequence[] = TEXTS.map((text, i) => {
  const encoded = bytes.encode(text);
  const labels = encoded.map((id, t) => (i === 2 && t < 3 ? -100 : id));
  return { ids: encoded, labels, group: 0, place: `row ${i + 1}` };
});
const apart = collate(sequences.map((row) => [row]));
const packed = collate([
  [sequences[0]!, sequences[1]!],
  [sequences[2]!, sequences[3]!],
]);

const config = TINY_TEXT.llama!;
const student = await Model.fresh(gpu, { ...config, vocab_size: 259 }, "student", { seed: 1 });
const teacher = await Model.fresh(gpu, { ...config, vocab_size: 9, hidden_size: 16, head_dim: 8 }, "teacher", {
  seed: 2,
  freeze: () => true,
});
const twin = await Model.fresh(gpu, { ...config, vocab_size: 259 }, "twin", { seed: 3, freeze: () => true });
afterAll(() => {
  for (const model of [student, teacher, twin]) model.free();
});
const run = (other: Tokenizer, from: Model, batch: TokenBatch, maxLength = 64) => {
  const read = otherTokens({ own: bytes, other, maxLength });
  return lossOf({ model: student, method: uld, teachers: [foreignTeacher(from, read)] }, batch);
};

describe.each([
  ["a text a row", apart],
  ["packed", packed],
] as const)("batches, %s", (_, batch) => {
  test("the teacher reads its own tokens, a row for each text", () => {
    const { batch: other, places, targets } = otherTokens({ own: bytes, other: pairs, maxLength: 64 })(batch);
    for (const [i, text] of TEXTS.entries()) {
      const [start, end] = [i * other.length, i * other.length + other.lengths[i]!];
      expect(pairs.decode(other.ids.slice(start, end))).toBe(text);
    }
    const own = targetsOf(batch);
    let met = 0;
    for (const [n, place] of places.entries()) {
      expect(targets[n]).toBe(place < 0 ? -100 : own[n]!);
      if (place < 0) continue;
      met++;
      // Both have read the same letters, which the last of the student's tokens ends.
      const last = pairs.decode([other.ids[place]!]).at(-1)!;
      expect(bytes.decode([batch.ids[n]!])).toBe(last);
    }
    // abc| |c|ab, b|b, a| |c|abc|ab| |a, c
    expect(met).toBe(4 + 2 + 7 + 1);
  });

  test("the same tokenizer is a live teacher", async () => {
    const one = await lossOf({ model: student, method: uld, teachers: [liveTeacher(twin, 259)] }, batch);
    const two = await run(bytes, twin, batch);
    expect(Math.abs(two.metrics.loss! / one.metrics.loss! - 1)).toBeLessThan(2e-6);
    for (const [i, g] of one.gradients.entries()) expect(Math.abs(g - two.gradients[i]!)).toBeLessThan(1e-6);
  });

  test("another tokenizer is compared where both have read the same, in f64", async () => {
    const other = otherTokens({ own: bytes, other: pairs, maxLength: 64 })(batch);
    const every = (given: TokenBatch) => ({ ...given, labels: given.labels.map((_, i) => given.ids[i]!) });
    // Of every position but the last of a text, whose loss is nothing.
    const all = async (model: Model, given: TokenBatch): Promise<Map<number, Float64Array>> => {
      const targets = targetsOf(every(given));
      const { p } = await beliefs(model, every(given));
      const rows = [...targets.keys()].filter((i) => targets[i]! >= 0);
      return new Map(rows.map((row, k) => [row, p[k]!]));
    };
    const [mine, theirs] = [await all(student, batch), await all(teacher, other.batch)];
    let sum = 0;
    for (const [n, place] of other.places.entries()) {
      if (other.targets[n]! < 0) continue;
      const q = [...mine.get(n)!].sort((a, b) => b - a);
      const p = [...theirs.get(place)!].sort((a, b) => b - a);
      sum += q.reduce((total, x, rank) => total + Math.abs(x - (p[rank] ?? 0)), 0);
    }
    const { metrics } = await run(pairs, teacher, batch);
    expect(sum).toBeGreaterThan(1);
    expect(Math.abs(metrics.distill! / (sum / batch.counted) - 1)).toBeLessThan(1e-5);
  });
});

test("what the teacher cuts off is learnt from the labels alone", async () => {
  const short = otherTokens({ own: bytes, other: pairs, maxLength: 2 })(apart);
  expect(short.targets.filter((target) => target >= 0).length).toBeLessThan(
    otherTokens({ own: bytes, other: pairs, maxLength: 64 })(apart).targets.filter((target) => target >= 0).length,
  );
  const [whole, cut] = [await run(pairs, teacher, apart), await run(pairs, teacher, apart, 2)];
  expect(cut.metrics.cross_entropy).toBeCloseTo(whole.metrics.cross_entropy!, 5);
  expect(cut.metrics.distill!).toBeLessThan(whole.metrics.distill!);
});
