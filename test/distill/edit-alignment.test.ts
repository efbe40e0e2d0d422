/** Tokens of two vocabularies by how alike they are, and what a model of another tokenizer says in a student's. */
import { expect, test } from "bun:test";
import { byteTokenizer } from "../../src/data/byte-tokenizer.ts";
import { loadTokenizer } from "../../src/data/load-tokenizer.ts";
import type { Sequence } from "../../src/data/sequences.ts";
import { alignedAnswers } from "../../src/distill/aligned-answers.ts";
import { alignTokens, editDistance, NearestTexts } from "../../src/distill/edit-alignment.ts";
import type { RowLogits } from "../../src/run/scoring/all-logits.ts";
import { NOTHING } from "../../src/run/teachers/teacher-cache.ts";

test("edit distances, and when they are given up", () => {
  expect(["kitten", "", "abc", "x"].map((a, i) => editDistance(a, ["sitting", "ab", "abc", "y"][i]!))).toEqual([
    3, 2, 0, 1,
  ]);
  expect(editDistance("kitten", "sitting", 2)).toBeGreaterThan(2);
  expect(editDistance("kitten", "sitting", 3)).toBe(3);
});

test("tokens pair up with the least sum of distances", () => {
  expect([...alignTokens(["the", " cat", "s"], ["the", " cat", "s"])]).toEqual([0, 1, 2]);
  expect([...alignTokens(["g", "et", " it"], ["get", " it"])]).toEqual([-1, 0, 1]);
  expect([...alignTokens(["get", " it"], ["g", "et", " it"])]).toEqual([1, 2]);
  expect([...alignTokens([], ["a"])]).toEqual([]);
  // Against all pairings, in their order, of short random lists.
  const words = ["a", "ab", "b", "abc", "ca"];
  for (let seed = 0; seed < 40; seed++) {
    const own = Array.from({ length: seed % 4 }, (_, i) => words[(seed * 7 + i * 3) % 5]!);
    const other = Array.from({ length: (seed >> 2) % 4 }, (_, i) => words[(seed * 5 + i * 2) % 5]!);
    const least = (i: number, j: number): number => {
      if (i === own.length) return other.slice(j).reduce((sum, { length }) => sum + length, 0);
      if (j === other.length) return own.slice(i).reduce((sum, { length }) => sum + length, 0);
      return Math.min(
        editDistance(own[i]!, other[j]!) + least(i + 1, j + 1),
        own[i]!.length + least(i + 1, j),
        other[j]!.length + least(i, j + 1),
      );
    };
    const pairs = alignTokens(own, other);
    const met = new Set([...pairs].filter((j) => j >= 0));
    const cost =
      own.reduce((sum, text, i) => sum + (pairs[i]! < 0 ? text.length : editDistance(text, other[pairs[i]!]!)), 0) +
      other.reduce((sum, text, j) => sum + (met.has(j) ? 0 : text.length), 0);
    expect(cost).toBe(least(0, 0));
    expect([...met]).toEqual([...met].sort((a, b) => a - b));
  }
});

test("a text stands for its own output, else for the nearest, or for none", () => {
  const nearest = new NearestTexts(
    new Map([
      ["cat", 0],
      ["car", 1],
      ["dog", 2],
      [" ", 3],
    ]),
  );
  expect(["car", "cart", "do", "dogs", "xyz", "z"].map((text) => nearest.of(text))).toEqual([
    1,
    0,
    2,
    2,
    undefined,
    undefined,
  ]);
  expect(nearest.of("cart")).toBe(0); // "cat" is as near as "car", and the first
});

const bytes = byteTokenizer();
const texts = ["a", "b", "c", "ab"];
const pairs = await loadTokenizer(
  new Map([
    [
      "tokenizer.json",
      new TextEncoder().encode(
        JSON.stringify({
          version: "1.0",
          ...{ added_tokens: [], normalizer: null, pre_tokenizer: null, post_processor: null },
          decoder: { type: "Fuse" },
          model: { type: "BPE", vocab: Object.fromEntries(texts.map((token, id) => [token, id])), merges: ["a b"] },
        }),
      ),
    ],
  ]),
  "pairs",
);

test("what a model says comes in the student's tokens, where its own stand for them", async () => {
  const shares = [0.1, 0.2, 0.3, 0.4];
  const asked: string[] = [];
  const logits: RowLogits = {
    outputs: 4,
    async of(batch) {
      asked.push(pairs.decode(batch.ids.slice(0, batch.lengths[0])));
      return Float32Array.from({ length: batch.rows * batch.length * 4 }, (_, i) => Math.log(shares[i % 4]!));
    },
    free() {},
  };
  const ids = Int32Array.from([..."cabc"].map((letter) => bytes.encode(letter)[0]!));
  const row: Sequence = { ids, labels: ids, group: 0, place: "row 1" };
  const answering = alignedAnswers(logits, {
    own: { tokenizer: bytes, outputs: 259 },
    other: { tokenizer: pairs, maxLength: 16 },
    k: 4,
  });
  const [said] = await answering.say([row]);
  expect(asked).toEqual(["cabc"]);
  const at = (t: number) =>
    new Map([...said!.ids.subarray(4 * t, 4 * t + 4)].map((id, j) => [id, Math.exp(said!.logProbs[4 * t + j]!)]));
  const [a, b, c] = [..."abc"].map((letter) => bytes.encode(letter)[0]!) as [number, number, number];
  // c|ab|c: one of a and b is "ab"; the other has no token, and is certain. "ab" is nearest to "a", the first of
  // equals.
  const spread = new Map([
    [a, 0.5],
    [b, 0.2],
    [c, 0.3],
  ]);
  const places = [0, 1, 2].map(at);
  const lone = places.findIndex(
    (place) => place.size === 4 && Math.abs((place.get(ids[places.indexOf(place) + 1]!) ?? 0) - 1) < 1e-6,
  );
  expect([0, 1]).toContain(lone);
  for (const [t, place] of places.entries()) {
    if (t === lone) continue;
    for (const [id, share] of spread) expect(place.get(id)).toBeCloseTo(share, 5);
  }
  expect([...said!.tail]).toEqual([0, 1, 2].map(() => Math.fround(NOTHING)));
  expect(said!.loss).toBeCloseTo(-(Math.log(0.4) + Math.log(0.3)) / 2, 5);
});
