/** The laws that training probes claim, on a small classifier and, where they look at one, a small decoder. */
import { afterAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { type Batch, collate } from "../../src/data/batch.ts";
import { claimed } from "../../src/method/laws.ts";
import { loadMethods } from "../../src/method/registry.ts";
import { Model } from "../../src/model/model.ts";
import type { Look, TrainingProbeLaw } from "../../src/train/training-probe.ts";
import { sharedGpu } from "../support/gpu.ts";
import { TINY_EXPERTS, TINY_TEXT } from "../support/tiny-models.ts";
import { batchesOf, begin, fresh, weightsOf } from "../train/probe-world.ts";

setDefaultTimeout(120_000);
const probes = await loadMethods("training-probe");
/** What probes of some models alone look at; all others look at both of the first two. */
const ALONE: Readonly<Record<string, readonly string[]>> = {
  "neural-collapse": ["classifier"],
  pathway: ["mixture of experts"],
};
/** What costs little. */
const QUICK: Readonly<Record<string, Readonly<Record<string, unknown>>>> = {
  curvature: { curvature_iterations: 3 },
  "kernel-alignment": { kernel_alignment_rows: 3, kernel_alignment_columns: 3 },
};
/** What a decoder has not. */

const sequences = Array.from({ length: 4 }, (_, row) => {
  const ids = Int32Array.from({ length: 5 + row }, (__, i) => (7 * row + 3 * i) % 50);
  return { ids, labels: ids, group: 0, place: "" };
});
const tokens = (size: number): Batch[] =>
  Array.from({ length: 4 / size }, (_, i) => collate(sequences.slice(i * size, (i + 1) * size).map((row) => [row])));
const worlds = [
  { world: "classifier", model: await fresh(3), batches: batchesOf as (size: number) => Batch[] },
  {
    world: "decoder",
    model: await Model.fresh(await sharedGpu(), TINY_TEXT.llama!, "tiny", { seed: 1 }),
    batches: tokens,
  },
  {
    world: "mixture of experts",
    model: await Model.fresh(await sharedGpu(), TINY_EXPERTS.mixtral!, "tiny", { seed: 1 }),
    batches: tokens,
  },
];
afterAll(() => {
  for (const { model } of worlds) model.free();
});

test("none of their options decides what a training gives, and all begin with the probe's name", () => {
  for (const { name, options } of probes)
    for (const [option, { decides }] of Object.entries(options)) {
      expect([option, decides]).toEqual([option, "nothing"]);
      expect(option.startsWith(`${name.replaceAll("-", "_")}_`)).toBe(true);
    }
});

for (const { world, model, batches } of worlds)
  describe(world, () => {
    const own = probes.filter(({ name }) => (ALONE[name] ?? ["classifier", "decoder"]).includes(world));
    test.each(own)("$name", async ({ name, laws }) => {
      const holds = new Set<TrainingProbeLaw>(claimed(laws));
      const before = await weightsOf(model);
      const probe = await begin(name, model, batches(4), QUICK[name]);
      const looks: Look[] = [await probe.look(0, undefined), await probe.look(1, undefined)];
      const { numbers } = looks[0]!;
      expect(Object.keys(numbers).length).toBeGreaterThan(0);
      for (const value of Object.values(numbers)) expect(Number.isFinite(value)).toBe(true);
      expect(probe.bytes).toBeGreaterThan(0);
      if (holds.has("leavesAlone")) expect(await weightsOf(model)).toEqual(before);
      if (holds.has("reproducible")) expect(looks[1]!.numbers).toEqual(numbers);
      probe.free();
      if (!holds.has("anyBatching")) return;
      const other = await begin(name, model, batches(2), QUICK[name]);
      const parted = (await other.look(0, undefined)).numbers;
      for (const [key, value] of Object.entries(numbers))
        expect([key, Math.abs(parted[key]! - value)]).toEqual([key, expect.closeTo(0, 2)]);
      other.free();
    });
  });
