/** Loads of experts by group against loops over what routers chose, and their figures on loads that are known. */
import { expect, test } from "bun:test";
import { collate } from "../../../src/data/batch.ts";
import { Model } from "../../../src/model/model.ts";
import { addedLoads, expertLoads, loadFigures, specialisation } from "../../../src/run/tracing/expert-loads.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { choicesFor, loadsOf, mixture } from "../training/experts/mixtures.ts";

const gpu = await sharedGpu();
const how = { ref: "moe", groups: 2, signal: new AbortController().signal, done: () => {} };
const load = (...counts: number[]) => ({ counts: Float64Array.from(counts), likely: Float64Array.from(counts) });
const row = (group: number, ...ids: number[]) => [
  { ids: Int32Array.from(ids), labels: Int32Array.from(ids), group, place: "" },
];
const BATCH = collate([row(0, 1, 5, 7, 2), row(1, 9, 3), row(1, 4, 4, 8)], { buckets: "none" });

test.each(["mixtral", "glm4_moe"])("%s: by layer and group, without padding", async (name) => {
  const model = await Model.fresh(gpu, mixture(name), "moe", { seed: 3 });
  const found = await expertLoads(model, [BATCH, BATCH], how);
  const choices = await choicesFor(model, BATCH);
  expect([...found.keys()]).toEqual([...choices.keys()]);
  for (const [layer, groups] of found)
    for (const [group, rows] of [[0], [1, 2]].entries()) {
      const { counts, likely, tokens } = loadsOf(BATCH, choices.get(layer)!, rows);
      expect([...groups[group]!.counts]).toEqual([...counts].map((count) => 2 * count));
      for (const [e, p] of likely.entries()) expect(groups[group]!.likely[e]).toBeCloseTo(2 * tokens * p, 4);
    }
  model.free();
});

test("a model without experts is refused", async () => {
  const model = await Model.fresh(gpu, mixture("llama"), "llama", { seed: 3 });
  await expect(expertLoads(model, [BATCH], { ...how, ref: "llama" })).rejects.toThrow("llama has no experts");
  model.free();
});

test("even loads, one expert alone, and even probabilities behind uneven loads", () => {
  expect(loadFigures(load(5, 5, 5, 5))).toMatchObject({ violation: 0, loadGap: 0, likelyGap: 0, balance: 1 });
  expect(loadFigures(load(0, 8, 0, 0))).toMatchObject({ violation: 3, loadGap: 3, likelyGap: 3, balance: 4 });
  const hidden = { counts: Float64Array.of(6, 2), likely: Float64Array.of(4, 4) };
  expect(loadFigures(hidden)).toMatchObject({ violation: 0.5, loadGap: 0.5, likelyGap: 0, balance: 1 });
});

test("groups that share no expert part whole, and evenly used experts may hide it", () => {
  const [a, b] = [load(4, 4, 0, 0), load(0, 0, 8, 8)];
  expect(specialisation([a, b])).toBe(1);
  expect(specialisation([a, a])).toBe(0);
  expect(specialisation([a, b, b])).toBeCloseTo(2 / 3, 9);
  expect(specialisation([load(3, 1), load(2, 2)])).toBe(0.25);
  expect(specialisation([a])).toBeUndefined();
  expect(loadFigures(addedLoads([a, load(0, 0, 4, 4)])).violation).toBe(0);
});
