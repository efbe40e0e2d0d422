import { expect, test } from "bun:test";
import { keyedUnits } from "../../../src/keyed-random.ts";
import { Likeliest } from "../../../src/run/generating/likeliest.ts";
import { Chooser, candidates, GREEDY } from "../../../src/run/generating/sampling.ts";

/** Sorted whole. */
function reference(logits: Float64Array, temperature: number): { id: number; p: number }[] {
  const most = Math.max(...logits);
  const list = Array.from(logits, (x, id) => ({ id, p: Math.exp(-(most - x) / temperature) }));
  return list.sort((a, b) => b.p - a.p || a.id - b.id);
}

/** Wide, with equals and impossible ones; all alike; one far above the rest. */
const cases: Record<string, Float64Array> = {
  wide: Float64Array.from({ length: 3001 }, (_, i) => {
    const unit = keyedUnits(0, `logit ${i}`)();
    return i % 97 === 0 ? Number.NEGATIVE_INFINITY : Math.round(unit * 4000) / 50 - 70;
  }),
  alike: new Float64Array(257).fill(-3),
  one: Float64Array.from({ length: 50 }, (_, i) => (i === 31 ? 1000 : 0)),
  single: Float64Array.of(2),
};

for (const [name, logits] of Object.entries(cases)) {
  for (const temperature of [0.3, 1, 7]) {
    const sorted = reference(logits, temperature);
    const total = sorted.reduce((sum, { p }) => sum + p, 0);

    test(`${name} at ${temperature}: order, sum and draws are those of a whole sort`, () => {
      const likeliest = new Likeliest(logits, temperature);
      expect(likeliest.total / total).toBeCloseTo(1, 12);
      expect(likeliest.take(() => false)).toEqual(sorted);
      const few = likeliest.take((count) => count >= 5);
      expect(few).toEqual(sorted.slice(0, few.length));
      expect(few.length).toBeGreaterThanOrEqual(Math.min(5, sorted.length));
      for (let i = 0; i < 200; i++) {
        const unit = (i + 0.5) / 200;
        let left = unit * total;
        const wanted = sorted.find(({ p }) => {
          left -= p;
          return left < 0;
        })!;
        expect(likeliest.at(unit)).toBe(wanted.id);
      }
      expect(likeliest.at(0)).toBe(sorted[0]!.id);
    });

    test(`${name} at ${temperature}: what is kept is kept from a whole sort`, () => {
      for (const kept of [{ topK: 7 }, { topP: 0.6 }, { minP: 0.05 }, { topK: 40, topP: 0.9, minP: 0.01 }]) {
        const { topK = 0, topP = 1, minP = 0 } = kept;
        let wanted = topK > 0 ? sorted.slice(0, topK) : sorted;
        const share = () => {
          const sum = wanted.reduce((a, { p }) => a + p, 0);
          wanted = wanted.map(({ id, p }) => ({ id, p: p / sum }));
        };
        share();
        let reached = 0;
        const end = wanted.findIndex(({ p }) => {
          reached += p;
          return reached >= topP;
        });
        if (topP < 1 && end >= 0) wanted = wanted.slice(0, end + 1);
        share();
        wanted = wanted.filter(({ p }) => p >= minP * wanted[0]!.p);
        share();
        const found = candidates(logits, { ...GREEDY, temperature, topK, topP, minP });
        expect(found.map(({ id }) => id)).toEqual(wanted.map(({ id }) => id));
        for (const [i, { p }] of found.entries()) expect(p).toBeCloseTo(wanted[i]!.p, 12);
      }
    });
  }
}

test("draws fall as the probabilities say", () => {
  const logits = Float32Array.from([0.1, 0.4, 0.2, 0.3], Math.log);
  const counts = [0, 0, 0, 0];
  const chooser = new Chooser({ ...GREEDY, temperature: 1 }, "draws");
  const times = 20_000;
  for (let i = 0; i < times; i++) counts[chooser.choose(logits, [])]!++;
  for (const [id, p] of [0.1, 0.4, 0.2, 0.3].entries()) {
    const z = (counts[id]! - times * p) / Math.sqrt(times * p * (1 - p));
    expect(Math.abs(z)).toBeLessThan(4.5);
  }
});
