/** The laws that decoders claim, on random logits, under their defaults. */
import { describe, expect, test } from "bun:test";
import { bindDefaults } from "../../src/method/bind.ts";
import { claimed } from "../../src/method/laws.ts";
import { loadMethods } from "../../src/method/registry.ts";
import type { Combine, DecoderLaw, DecoderMethod } from "../../src/run/combining/contract.ts";
import { logProbabilities } from "../../src/run/combining/log-probabilities.ts";
import { normals } from "../support/random.ts";

const V = 23;
const SIZES = { layers: 6, width: 8, outputs: V, maxPositions: 64 };
const PROMPT = [3, 1, 4, 1, 5];
const decoders = await loadMethods("decoder");

/** Texts that options name, of those that have no default. */
function begun(method: DecoderMethod, count = method.models[0]): { combine: Combine; views: number } {
  const models = Array.from({ length: count }, (_, i) => ({
    ...{ ref: `m${i}`, sizes: SIZES, experts: { count: 6, perToken: 2 } },
  }));
  const { values } = bindDefaults(method);
  const encode = (text: string) => Array.from(text, (letter) => letter.charCodeAt(0) % V);
  const rule = method.make({ values, models, encode, decode: (ids) => ids.join(" ") });
  return { combine: rule.begin(PROMPT), views: rule.views.length };
}

const place = { tokens: PROMPT, note: () => {} };
const random = (views: number, seed: number) =>
  Array.from({ length: views }, (_, i) => normals(10 * seed + i, V).map((x) => 2 * x));
const probabilities = (logits: ArrayLike<number>) => logProbabilities(logits).map(Math.exp);
function expectClose(found: Float64Array, want: Float64Array): void {
  expect(found).toHaveLength(want.length);
  for (const [id, p] of want.entries()) expect(found[id]!).toBeCloseTo(p, 5);
}

const LAWS: Record<DecoderLaw, (method: DecoderMethod, count: number) => void> = {
  shiftFree(method, count) {
    const { views } = begun(method, count);
    const said = random(views, 1);
    const want = probabilities(begun(method, count).combine(said, place));
    for (let view = 0; view < views; view++) {
      const shifted = said.map((own, i) => (i === view ? own.map((x) => x + 3) : own));
      expectClose(probabilities(begun(method, count).combine(shifted, place)), want);
    }
  },
  alike(method, count) {
    const { combine, views } = begun(method, count);
    const [one] = random(1, 2);
    expectClose(probabilities(combine(Array<Float32Array>(views).fill(one!), place)), probabilities(one!));
  },
  whole(method, count) {
    const { combine, views } = begun(method, count);
    const found = logProbabilities(combine(random(views, 3), place));
    for (const log of found) expect(log).toBeGreaterThan(Number.NEGATIVE_INFINITY);
  },
};

describe.each(decoders)("$name", (method) => {
  const [least, most] = method.models;
  const counts = most > least ? [least, least + 1] : [least];

  test("its options begin with its name, and what it says is a distribution that the batch does not change", () => {
    for (const option of Object.keys(method.options))
      expect(option.startsWith(`${method.name.replaceAll("-", "_")}_`)).toBe(true);
    for (const count of counts) {
      const { combine, views } = begun(method, count);
      const said = random(views, 4);
      const kept = said.map((own) => own.slice());
      const found = probabilities(combine(said, place));
      expect(found).toHaveLength(V);
      expect(found.reduce((a, b) => a + b, 0)).toBeCloseTo(1, 9);
      expect(said).toEqual(kept);
      expect(probabilities(begun(method, count).combine(said, place))).toEqual(found);
    }
  });

  test.each(claimed(method.laws))("%s", (law) => {
    for (const count of counts) LAWS[law](method, count);
  });
});
