/** The gate between two classifiers: its equations against float64, and its file. */
import { afterAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { open } from "../../../src/checkpoint/open.ts";
import type { Json } from "../../../src/model/architecture.ts";
import { Model } from "../../../src/model/model.ts";
import { Gate, type GateSettings, gateFeatures } from "../../../src/run/mixing/gate.ts";
import { readGate, writeGate } from "../../../src/run/mixing/gate-file.ts";
import { recordGated } from "../../../src/run/mixing/gated-outputs.ts";
import { Programs } from "../../../src/run/programs.ts";
import { recordOutputs } from "../../../src/run/scoring/recorded-outputs.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { TINY_EXAMPLES } from "../../support/tiny-models.ts";

setDefaultTimeout(120_000);
const gpu = await sharedGpu();
const folder = mkdtempSync(join(tmpdir(), "ingot-gate-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const SETTINGS: GateSettings = { least: 0.6, span: 0.3, scale: 2, bias: -0.5, sharpness: { accurate: 2, robust: 0.5 } };
const ROWS = 6;

async function both(json: Json) {
  const [accurate, robust] = [
    await Model.fresh(gpu, json, "accurate", { seed: 1 }),
    await Model.fresh(gpu, json, "robust", { seed: 2 }),
  ];
  const features = gateFeatures(accurate) + gateFeatures(robust);
  const gate = Gate.fresh(gpu, SETTINGS, { features, hidden: 5 }, 3);
  return { accurate, robust, gate, free: () => void [accurate, robust, gate].map((held) => held.free()) };
}
const valuesOf = async (gate: Gate, name: Parameters<Gate["parameters"]["get"]>[0]) => {
  const { buffer, size } = gate.parameters.get(name)!;
  return gpu.readFloats(buffer, size);
};

/** All outputs for rows of one model. */
async function outputsOf(models: Awaited<ReturnType<typeof both>>, learning: boolean, runs = 1) {
  const { accurate, robust } = models;
  const shape = [ROWS, ...accurate.sizes.example!];
  const programs = new Programs(gpu);
  const { program } = await programs.get("", (rec) => {
    const x = rec.input("x", shape);
    const { logits, gated } = recordGated(rec, { batch: ROWS, x }, models, { learning });
    rec.output("mixed", logits);
    rec.output("gated", gated);
    for (const [name, model] of Object.entries({ accurate, robust }))
      rec.output(name, recordOutputs(rec, { batch: ROWS, x }, model, undefined)(0));
  });
  program.write(
    "x",
    Float32Array.from({ length: shape.reduce((a, b) => a * b) }, (_, i) => Math.sin(1.7 * i)),
  );
  for (let run = 0; run < runs; run++) program.run();
  const names = ["mixed", "gated", "accurate", "robust"] as const;
  const found = Object.fromEntries(await Promise.all(names.map(async (name) => [name, await program.read(name)])));
  programs.free();
  return found as Record<(typeof names)[number], Float32Array>;
}

const softmax = (z: readonly number[]) => {
  const most = Math.max(...z);
  const e = z.map((x) => Math.exp(x - most));
  const total = e.reduce((a, b) => a + b);
  return e.map((x) => x / total);
};

describe.each(["mlp", "vit"])("%s", (name) => {
  test("the mixture is that of float64, and the weight stays within its bounds", async () => {
    const models = await both(TINY_EXAMPLES[name]!);
    const { mixed, gated, accurate, robust } = await outputsOf(models, false);
    const classes = mixed.length / ROWS;
    const row = (all: Float32Array, i: number, factor = 1) =>
      Array.from(all.subarray(i * classes, (i + 1) * classes), (z) => factor * z);
    const { least, span, sharpness } = SETTINGS;
    for (let i = 0; i < ROWS; i++) {
      const a = least + span / (1 + Math.exp(-gated[i]!));
      expect(a > 0.6 && a < 0.9).toBe(true);
      const [g, h] = [softmax(row(accurate, i, sharpness.accurate)), softmax(row(robust, i, sharpness.robust))];
      for (const [k, z] of row(mixed, i).entries()) expect(z).toBeCloseTo(Math.log((1 - a) * g[k]! + a * h[k]!), 4);
    }
    models.free();
  });

  test("while it learns its output has mean 0 and variance 1 over the batch, which running statistics follow", async () => {
    const models = await both(TINY_EXAMPLES[name]!);
    const { gated } = await outputsOf(models, true);
    const gamma = Array.from(gated, (x) => (x - SETTINGS.bias) / SETTINGS.scale);
    const mean = gamma.reduce((a, b) => a + b) / ROWS;
    expect(mean).toBeCloseTo(0, 4);
    expect(gamma.reduce((sum, x) => sum + (x - mean) ** 2, 0) / ROWS).toBeCloseTo(1, 2);
    const once = {
      mean: (await valuesOf(models.gate, "mean"))[0]!,
      variance: (await valuesOf(models.gate, "variance"))[0]!,
    };
    // One step goes a tenth of the way from 0 and 1 to the batch's own.
    const own = { mean: once.mean / 0.1, variance: (once.variance - 0.9) / 0.1 };
    await outputsOf(models, true, 200);
    expect((await valuesOf(models.gate, "mean"))[0]!).toBeCloseTo(own.mean, 3);
    expect((await valuesOf(models.gate, "variance"))[0]!).toBeCloseTo(own.variance, 2);
    const settled = await outputsOf(models, false);
    for (const [i, x] of gated.entries()) expect(settled.gated[i]!).toBeCloseTo(x, 2);
    models.free();
  });
});

test("a file gives the same gate, and what is none is refused", async () => {
  const models = await both(TINY_EXAMPLES.mlp!);
  const before = await outputsOf(models, true);
  const again = await outputsOf(models, false);
  const path = join(folder, "gate.safetensors");
  await writeGate(gpu, models.gate, path, []);
  const checkpoint = await open(path);
  const stored = await readGate(checkpoint);
  expect(stored.settings).toEqual({ ...SETTINGS, least: Math.fround(0.6), span: Math.fround(0.3) });
  expect(stored.features).toBe(18);
  const gate = Gate.of(gpu, stored.settings, stored.values);
  expect(gate.trainable()).toEqual([]);
  expect((await outputsOf({ ...models, gate }, false)).gated).toEqual(again.gated);
  expect(before.gated).not.toEqual(again.gated);
  const lacking = new Map([...checkpoint.tensors].filter(([name]) => name !== "gate.mean"));
  expect(readGate({ ...checkpoint, tensors: lacking })).rejects.toThrow("is no gate: it has no gate.mean");
  checkpoint.close();
  const other = await both({ ...TINY_EXAMPLES.mlp!, hidden_sizes: [8] });
  expect(outputsOf({ ...other, gate }, false)).rejects.toThrow("the gate reads 18 numbers");
  gate.free();
  other.free();
  models.free();
});

test("a model without a block has nothing for a gate to read", async () => {
  const model = await Model.fresh(gpu, { ...TINY_EXAMPLES.mlp!, hidden_sizes: [] }, "plane", { seed: 0 });
  expect(() => gateFeatures(model)).toThrow("there is none");
  model.free();
});
