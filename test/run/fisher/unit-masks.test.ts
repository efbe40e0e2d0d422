/** Gates' gradients are those of gates: by differences of the divergence as rows and columns are scaled. */
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { collate } from "../../../src/data/batch.ts";
import type { Json } from "../../../src/model/architecture.ts";
import { Model } from "../../../src/model/model.ts";
import { overRows } from "../../../src/run/fisher/attention-heads.ts";
import { type Gated, gatedWeights, gateGradients, KINDS, normalizedMask } from "../../../src/run/fisher/unit-masks.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { TINY_DECODERS, TINY_NEOX, TINY_TEXT } from "../../support/tiny-models.ts";

setDefaultTimeout(120_000);

const gpu = await sharedGpu();
const options = { dropout: 0.3, seed: 4, ref: "tiny", signal: new AbortController().signal };
const batches = [0, 1].map((k) => {
  const rows = [0, 1].map((row) => Int32Array.from({ length: 6 }, (_, i) => (3 * i + 5 * row + 11 * k) % 40));
  return collate(
    rows.map((ids, i) => [{ ids, labels: ids, group: 0, place: `${k}.${i}` }]),
    { buckets: "none" },
  );
});

/** The divergence with a gate of `gate` on one unit. */
async function withGate(
  model: Model,
  gated: readonly Gated[],
  place: number,
  unit: number,
  gate: number,
  units: number,
) {
  const { weight, bias, along, kind } = gated[place]!;
  const columns = weight.shape.at(-1)!;
  const lines = along === "row" ? weight.size / columns : columns;
  const fused = kind !== "heads" && units < lines ? lines - units : 0; // values come after gates
  const size = kind === "heads" ? lines / units : 1;
  const isOwn = (line: number) => Math.floor((line - fused) / size) === unit && line >= fused;
  const before = await gpu.readFloats(weight.buffer, weight.size);
  const own = bias && (await gpu.readFloats(bias.buffer, bias.size));
  weight.write(before.map((w, i) => (isOwn(along === "row" ? Math.floor(i / columns) : i % columns) ? gate * w : w)));
  if (own) bias.write(own.map((w, i) => (isOwn(i) ? gate * w : w)));
  const { divergence } = await gateGradients(model, gated, batches, options);
  weight.write(before);
  if (own) bias.write(own);
  return divergence;
}

const MODELS: Record<string, Json> = {
  llama: TINY_TEXT.llama!,
  gpt2: TINY_TEXT.gpt2!,
  "gpt-neox": Object.values(TINY_NEOX)[0]!,
  phi3: TINY_DECODERS.phi3!,
};

describe("gates on inner units, outputs and heads:", () => {
  test.each(Object.keys(MODELS))("%s", async (name) => {
    const model = await Model.fresh(gpu, { ...MODELS[name]!, initializer_range: 0.4 }, name, { seed: 2 });
    const gated = gatedWeights(model, KINDS, name);
    expect(new Set(gated.map(({ kind, layer }) => `${kind} ${layer}`)).size).toBe(3 * model.sizes.layers);
    const { gradients, divergence } = await gateGradients(model, gated, batches, options);
    expect(divergence).toBeGreaterThan(1e-4);
    const largest = Math.max(...gradients.flatMap((all) => [...all].map(Math.abs)));
    for (const place of [0, 1, 2, gated.length - 1]) {
      const unit = gradients[place]!.reduce((best, x, i, all) => (Math.abs(x) > Math.abs(all[best]!) ? i : best), 0);
      const units = gradients[place]!.length;
      const more = await withGate(model, gated, place, unit, 1.02, units);
      const less = await withGate(model, gated, place, unit, 0.98, units);
      const slope = (more - less) / 0.04;
      expect(Math.abs(slope - gradients[place]![unit]!)).toBeLessThan(0.03 * Math.abs(slope) + 0.002 * largest);
    }
    model.free();
  });
});

test("without dropout every gradient is 0", async () => {
  const model = await Model.fresh(gpu, TINY_TEXT.llama!, "llama", { seed: 2 });
  const gated = gatedWeights(model, KINDS, "llama");
  const { gradients } = await gateGradients(model, gated, batches, { ...options, dropout: 0 });
  expect(gradients.every((all) => all.every((x) => x === 0))).toBe(true);
  model.free();
});

test("masks by hand: deviations from the mean; heads over rows of queries, keys and values", () => {
  const mask = normalizedMask([1, 1, 4]); // mean 2, deviation sqrt 2
  for (const [i, z] of [-Math.SQRT1_2, -Math.SQRT1_2, Math.SQRT2].entries())
    expect(mask[i]).toBeCloseTo(Math.abs(Math.tanh(z)), 6);
  expect([...normalizedMask([3, 3])]).toEqual([0, 0]);
  const heads = Float32Array.of(0.5, 0.25, 1, 0);
  const over = (name: string, rows: number) => [...overRows({ name: `.${name}.weight` }, rows, heads, 2)!];
  expect(over("q_proj", 8)).toEqual([0.5, 0.5, 0.25, 0.25, 1, 1, 0, 0]);
  expect(over("k_proj", 4)).toEqual([0.5, 0.5, 1, 1]);
  expect(over("qkv_proj", 8)).toEqual([0.5, 0.25, 1, 0, 0.5, 1, 0.5, 1]);
});
