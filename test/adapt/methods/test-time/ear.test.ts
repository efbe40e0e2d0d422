/** Adapters for new domains: gradients by differences, routes, and old domains that stay to the bit. */
import { expect, test } from "bun:test";
import { FeatureAdapter } from "../../../../src/adapt/growth/feature-adapter.ts";
import { learnerOf, rowsFor, scoresOf } from "../../../run/test-time/lab.ts";
import { normals } from "../../../support/random.ts";

const [D, K] = [5, 3];
const HEAD = { weight: Float64Array.from(normals(1, K * D)), bias: Float64Array.from(normals(2, K)) };
const FEATURES = Array.from({ length: 6 }, (_, i) => normals(10 + i, D));

function entropy(logits: readonly number[]) {
  const e = logits.map(Math.exp);
  const sum = e.reduce((a, b) => a + b, 0);
  return -e.reduce((total, x) => total + (x / sum) * Math.log(x / sum), 0);
}
const meanEntropy = (adapter: FeatureAdapter) =>
  FEATURES.reduce((sum, feature) => sum + entropy(adapter.logits(feature)), 0) / FEATURES.length;

test.each([0, 4])(
  "a new adapter of rank %d answers as the head, and its steps are down the slope of the entropy",
  (rank) => {
    const made = () => new FeatureAdapter(HEAD, { rank, seed: 0, name: "a" });
    const fresh = made();
    for (const feature of FEATURES)
      for (const [k, z] of fresh.logits(feature).entries()) {
        const plain = HEAD.bias[k]! + feature.reduce((sum, x, i) => sum + x * HEAD.weight[k * D + i]!, 0);
        expect(z).toBeCloseTo(plain, 10);
      }
    const before = meanEntropy(fresh);
    expect(fresh.step(FEATURES, 0)).toBeCloseTo(before, 10);
    // Away from the beginning, where D has no slope.
    const moved = made();
    for (let i = 0; i < 3; i++) moved.step(FEATURES, 0.1);
    const h = 1e-5;
    const slopes = moved.parts.map((part) =>
      Float64Array.from(part, (kept, i) => {
        part[i] = kept + h;
        const above = meanEntropy(moved);
        part[i] = kept - h;
        const below = meanEntropy(moved);
        part[i] = kept;
        return (above - below) / (2 * h);
      }),
    );
    const start = moved.parts.map((part) => part.slice());
    moved.step(FEATURES, 1);
    for (const [n, part] of moved.parts.entries())
      for (const [i, x] of part.entries()) expect(start[n]![i]! - x).toBeCloseTo(slopes[n]![i]!, 7);
  },
);

const domain = (name: string, shift: number) => Array.from({ length: 3 }, (_, i) => rowsFor(`${name} ${i}`, 8, shift));

test("new domains get adapters, and what was learnt of old ones stays to the bit", async () => {
  const lab = await learnerOf("ear", { values: { ear_bits: 2048, ear_steps: 3 } });
  const { learner } = lab;
  const [source, up, down] = [domain("still", 0), domain("up", 4), domain("down", -4)];
  const first = await scoresOf(learner, source);
  const tells = () => learner.tells!() as { adapters: { domain: string }[]; routes: Record<string, number> };
  await scoresOf(learner, up);
  expect(tells().adapters.map(({ domain }) => domain)).toContain("domain 1");
  const learntUp = await scoresOf(learner, up, false);
  const known = tells().adapters.length;
  await scoresOf(learner, down);
  expect(tells().adapters.length).toBeGreaterThan(known);
  expect(await scoresOf(learner, source, false)).toEqual(first);
  expect(await scoresOf(learner, up, false)).toEqual(learntUp);
  // The source has no adapter: its rows are answered by the model.
  const plain = await learnerOf("source");
  expect(await scoresOf(plain.learner, source, false)).toEqual(first);
  plain.free();
  lab.free();
});

test("no adapters where none may be made, and source rows are needed", async () => {
  const lab = await learnerOf("ear", { values: { ear_bits: 512, ear_most: 0 } });
  const batches = domain("far", 5);
  const plain = await learnerOf("source");
  expect(await scoresOf(lab.learner, batches)).toEqual(await scoresOf(plain.learner, batches));
  lab.free();
  plain.free();
  expect(learnerOf("ear", { source: false })).rejects.toThrow("ear knows its domain by source rows");
});
