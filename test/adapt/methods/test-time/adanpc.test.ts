/** A memory that votes: its formula in float64, its limits, and what it takes in. */
import { expect, test } from "bun:test";
import { NeighbourMemory } from "../../../../src/run/neighbour-memory.ts";
import { CLASSES, learnerOf, movingBatches, scoresOf } from "../../../run/test-time/lab.ts";
import { normals } from "../../../support/random.ts";

const OPTIONS = { k: 5, temperature: 0.3, cap: 1000 };
const entries = Array.from({ length: 24 }, (_, i) => ({ feature: normals(i, 4), label: i % 5 === 0 ? 2 : i % 2 }));
const filled = (options: Partial<ConstructorParameters<typeof NeighbourMemory>[1]>) => {
  const memory = new NeighbourMemory(3, { ...OPTIONS, ...options });
  for (const { feature, label } of entries) memory.add(feature, label);
  return memory;
};
const cosine = (a: ArrayLike<number>, b: ArrayLike<number>) => {
  const dot = (u: ArrayLike<number>, v: ArrayLike<number>) => Array.from(u).reduce((sum, x, i) => sum + x * v[i]!, 0);
  return dot(a, b) / Math.sqrt(dot(a, a) * dot(b, b));
};
/** The vote of the entries that `votes` picks of those in order of likeness. */
function voteOf(query: Float32Array, temperature: number, votes: (cosine: number, rank: number) => boolean) {
  const found = entries
    .map(({ feature, label }) => ({ s: cosine(query, feature), label }))
    .sort((a, b) => b.s - a.s)
    .filter(({ s }, rank) => votes(s, rank));
  const all = found.reduce((sum, { s }) => sum + Math.exp(s / temperature), 0);
  return [0, 1, 2].map((c) =>
    Math.min(
      1,
      1e-5 + found.reduce((sum, { s, label }) => sum + (label === c ? Math.exp(s / temperature) / all : 0), 0),
    ),
  );
}

test("scores are the vote of the nearest, or of all within a ball", () => {
  for (let i = 0; i < 6; i++) {
    const query = normals(100 + i, 4);
    for (const [c, x] of voteOf(query, 0.3, (_, rank) => rank < 5).entries())
      expect(filled({}).scores(query)[c]).toBeCloseTo(x, 10);
    for (const [c, x] of voteOf(query, 0.3, (s) => s >= 0.2).entries())
      expect(filled({ ball: 0.2 }).scores(query)[c]).toBeCloseTo(x, 10);
    // Where nothing is so near, the nearest votes alone.
    for (const [c, x] of voteOf(query, 0.3, (_, rank) => rank === 0).entries())
      expect(filled({ ball: 1 }).scores(query)[c]).toBeCloseTo(x, 10);
  }
});

test("all of the memory at a high temperature gives the shares of classes", () => {
  const shares = [0, 1, 2].map((c) => entries.filter(({ label }) => label === c).length / entries.length);
  const scores = filled({ k: entries.length, temperature: 1e9 }).scores(normals(7, 4));
  for (const [c, share] of shares.entries()) expect(scores[c]).toBeCloseTo(share + 1e-5, 7);
});

test("a full memory forgets the oldest", () => {
  const few = filled({ cap: 6, k: 6, temperature: 1e9 });
  expect(few.size).toBe(6);
  const last = entries.slice(-6);
  for (const c of [0, 1, 2])
    expect(few.scores(normals(3, 4))[c]).toBeCloseTo(last.filter(({ label }) => label === c).length / 6 + 1e-5, 7);
  expect(() => new NeighbourMemory(3, OPTIONS).scores(normals(1, 4))).toThrow("the memory is empty");
});

test("above 1 nothing is taken in: the votes of the source rows alone; at 0 every row is", async () => {
  const batches = movingBatches();
  const run = async (adanpc_beta: number) => {
    const lab = await learnerOf("adanpc", { values: { adanpc_beta } });
    const learnt = await scoresOf(lab.learner, batches);
    const told = lab.learner.tells!();
    const now = await scoresOf(lab.learner, batches, false);
    await lab.learner.reset();
    const still = await scoresOf(lab.learner, batches, false);
    lab.free();
    return { learnt, now, still, told };
  };
  const none = await run(1.1);
  expect([none.learnt, none.now]).toEqual([none.still, none.still]);
  expect(none.told).toEqual({ memory: 24, taken_in: 0 });
  const all = await run(0);
  expect(all.told).toEqual({ memory: 24 + 24, taken_in: 24 });
  expect(all.still).toEqual(none.still);
  expect(all.now).not.toEqual(all.still);
  for (const scores of all.learnt) expect(scores.length).toBe(8 * CLASSES);
});

test("source rows are needed", () => {
  expect(learnerOf("adanpc", { source: false })).rejects.toThrow("adanpc votes by a memory of source rows");
});
