/** The probe of active units: counts by hand, and of models whose units were put to rest. */
import { afterAll, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { open } from "../../../../src/checkpoint/open.ts";
import { Random } from "../../../../src/data/random.ts";
import { Model } from "../../../../src/model/model.ts";
import { saveModel } from "../../../../src/model/save.ts";
import { UnitCounts } from "../../../../src/run/tracing/active-units.ts";
import { runScript } from "../../../support/command.ts";
import { sharedGpu } from "../../../support/gpu.ts";
import { TINY_EXAMPLES, TINY_EXPERTS, TINY_TEXT } from "../../../support/tiny-models.ts";

setDefaultTimeout(120_000);
const folder = mkdtempSync(join(tmpdir(), "ingot-fau-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

test("counts by hand: of ReLU what is above 0, else what is loud enough, and units that are quiet", () => {
  const relu = new UnitCounts(4, 0.5);
  relu.add(Float32Array.of(0, 1e-6, 2, 0));
  relu.add(Float32Array.of(0, 0, 2, 3));
  expect(relu.activity(0.025)).toEqual({ units: 4, active: 4 / 8, dormant: 2 / 4 });
  const other = new UnitCounts(2, 0.5);
  other.add(Float32Array.of(-3, 1)); // rms 2.2
  expect(other.activity(0.5)).toEqual({ units: 2, active: 1 / 2, dormant: 1 / 2 });
});

test("a stack's experts are told apart: one that saw no token is dormant as a whole", () => {
  const stack = new UnitCounts(6, 0.5);
  stack.add(Float32Array.of(0, 4), 0);
  stack.add(Float32Array.of(4, 4), 2);
  stack.add(Float32Array.of(0, 4), 2);
  // Means 0 4 | 2 4 | 0 0, of the three tokens that were seen by an expert each.
  expect(stack.activity(0.025)).toEqual({ units: 6, active: 4 / 6, dormant: 3 / 6 });
});

test("units of experts that were put to rest are dormant, and padding does not count", async () => {
  const gpu = await sharedGpu();
  const json = TINY_EXPERTS.mixtral!;
  const model = await Model.fresh(gpu, json, "mixtral", { seed: 2 });
  const [experts, resting] = [Number(json.num_local_experts), 3];
  for (const [weight, parameter] of model.parameters) {
    if (!weight.endsWith("experts.w3")) continue;
    const values = await gpu.readFloats(parameter.buffer, parameter.size);
    const [, inner = 0, width = 0] = parameter.shape;
    for (let expert = 0; expert < experts; expert++)
      values.fill(0, expert * inner * width, (expert * inner + resting) * width);
    gpu.write(parameter.buffer, 0, new Uint8Array(values.buffer));
  }
  const files = new Map([["config.json", new TextEncoder().encode(JSON.stringify(json))]]);
  await saveModel(model, join(folder, "mixtral/"), { files, lineage: [] });
  model.free();
  const rows = Array.from({ length: 6 }, (_, i) => ({
    input_ids: Array.from({ length: 3 + 4 * i }, (_, k) => (7 * i + 3 * k) % 40),
  }));
  writeFileSync(join(folder, "lengths.jsonl"), rows.map((row) => `${JSON.stringify(row)}\n`).join(""));
  const found = async (batch: number) => {
    const options = ["--fau-batch", `${batch}`, "--fau-dormant", "1e-9", "--json"];
    const argv = ["mixtral", "--data", "lengths.jsonl", "--probe", "fau", ...options];
    const { text, err } = await runScript("evaluate", argv, folder);
    expect(err).not.toContain("hint");
    return JSON.parse(text).rows[0].layers as { layer: string; units: number; active: number; dormant: number }[];
  };
  const [alone, together] = [await found(1), await found(6)];
  expect(together.length).toBeGreaterThan(0);
  for (const [i, { layer, units, active, dormant }] of together.entries()) {
    expect(layer).toMatch(/experts\.w2$/);
    expect(dormant * units).toBeCloseTo(resting * experts, 9);
    expect(active).toBeCloseTo(1 - (resting * experts) / units, 1);
    expect(active).toBeCloseTo(alone[i]!.active, 9);
  }
});

test("half of the units of a linear layer of symmetric weights are above 0", () => {
  const random = new Random("fau");
  const weights = Array.from({ length: 64 }, () => Array.from({ length: 16 }, () => random.normal()));
  const counts = new UnitCounts(64, 0);
  for (let i = 0; i < 200; i++) {
    const x = Array.from({ length: 16 }, () => random.normal());
    counts.add(
      Float32Array.from(weights, (w) =>
        Math.max(
          0,
          w.reduce((sum, own, j) => sum + own * x[j]!, 0),
        ),
      ),
    );
  }
  expect(counts.activity(0.025).active).toBeCloseTo(0.5, 1);
});

test.each(["gpt2", "llama", "mlp"])("units of %s whose weights are 0 are dormant, and no others", async (name) => {
  const gpu = await sharedGpu();
  const json = name === "mlp" ? TINY_EXAMPLES.mlp! : TINY_TEXT[name]!;
  const model = await Model.fresh(gpu, json, name, { seed: 1 });
  const resting = 3;
  let units = 0;
  for (const [weight, parameter] of model.parameters) {
    const isIn = /(c_fc|up_proj)\.weight$/.test(weight) || (name === "mlp" && weight === "layers.0.weight");
    if (!isIn) continue;
    const values = await gpu.readFloats(parameter.buffer, parameter.size);
    const [first = 0, second = 0] = parameter.shape;
    units = name === "gpt2" ? second : first;
    for (let unit = 0; unit < resting; unit++)
      for (let i = 0; i < parameter.size / units; i++)
        values[name === "gpt2" ? i * units + unit : (unit * parameter.size) / units + i] = 0;
    gpu.write(parameter.buffer, 0, new Uint8Array(values.buffer));
  }
  expect(units).toBeGreaterThan(resting);
  const files = new Map([["config.json", new TextEncoder().encode(JSON.stringify(json))]]);
  await saveModel(model, join(folder, `${name}/`), { files, lineage: [] });
  model.free();
  (await open(join(folder, name))).close();
  const rows = Array.from({ length: 5 }, (_, i) =>
    name === "mlp"
      ? { x: Array.from({ length: Number(json.input_size) }, (_, j) => Math.sin(i + 3 * j)), label: 0 }
      : { input_ids: Array.from({ length: 3 + i }, (_, k) => (7 * i + 3 * k) % 40) },
  );
  writeFileSync(join(folder, "rows.jsonl"), rows.map((row) => `${JSON.stringify(row)}\n`).join(""));
  const { text, err } = await runScript("evaluate", [name, "--data", "rows.jsonl", "--probe", "fau", "--json"], folder);
  expect(err).not.toContain("hint");
  const [found] = JSON.parse(text).rows;
  const [layer] = found.layers;
  expect(layer.units).toBe(units);
  expect(layer.dormant * units).toBeCloseTo(resting, 9);
  if (name === "mlp") expect(layer.active).toBeLessThan(1 - resting / units + 1e-9);
  else expect(layer.active).toBeCloseTo(1 - resting / units, 1);
});
