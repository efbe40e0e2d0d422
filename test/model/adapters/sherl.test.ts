/** SHERL: its mix against float64, a gate that begins without the base's state, what it keeps for the way back. */
import { expect, test } from "bun:test";
import { collate } from "../../../src/data/batch.ts";
import { type Bound, bindDefaults } from "../../../src/method/bind.ts";
import { loadMethod } from "../../../src/method/registry.ts";
import type { AdapterType } from "../../../src/model/adapters/contract.ts";
import { guidedMix } from "../../../src/model/adapters/guided-mix.ts";
import { Model } from "../../../src/model/model.ts";
import { Generator } from "../../../src/run/generating/generate.ts";
import { GREEDY } from "../../../src/run/generating/sampling.ts";
import { crossEntropyObjective } from "../../../src/run/training/cross-entropy.ts";
import { Program, profileOf } from "../../../src/tensor/program.ts";
import { Recorder } from "../../../src/tensor/recorder.ts";
import { SlotPool } from "../../../src/tensor/slots.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { logitsOf } from "../../support/logits.ts";
import { runOp } from "../../support/program.ts";
import { normals } from "../../support/random.ts";
import { TINY_TEXT } from "../../support/tiny-models.ts";

const gpu = await sharedGpu();
const sherl = await loadMethod("adapter", "sherl");
const lora = await loadMethod("adapter", "lora");
const DEEP = { ...TINY_TEXT.llama!, num_hidden_layers: 6 };

const BATCH = collate(
  [
    [1, 5, 7, 2, 9, 36, 0, 3],
    [4, 8, 15, 16, 23, 30, 4, 8],
  ].map((row, i) => [{ ids: Int32Array.from(row), labels: Int32Array.from(row), group: 0, place: `${i}` }]),
  { buckets: "none" },
);

const deep = (type: Bound<AdapterType>): Promise<Model> =>
  Model.fresh(gpu, DEEP, "deep", { seed: 4, adapter: { type, seed: 1 } });

/** The mix of one token's vectors, in f64. */
function mixedOf(shallow: readonly number[][], guide: readonly number[], w: readonly number[]) {
  const dot = (a: readonly number[], b: readonly number[]) => a.reduce((sum, x, i) => sum + x * b[i]!, 0);
  const length = (a: readonly number[]) => Math.sqrt(dot(a, a));
  const bias = 0.2;
  const relevance = shallow.map((u) => {
    const repeated = shallow.reduce((sum, other) => sum + Math.max(0, dot(u, other) / length(u) / length(other)), 0);
    return (
      Math.max(
        0,
        dot(
          w,
          u.map((x, i) => x * guide[i]!),
        ) + bias,
      ) / repeated
    );
  });
  const whole = relevance.reduce((a, b) => a + b, 0);
  const weights = relevance.map((r) => (whole > 0 ? r / whole : 0));
  return { weights, mixed: guide.map((g, k) => g + shallow.reduce((sum, u, i) => sum + weights[i]! * u[k]!, 0)) };
}

async function mix(shallow: readonly Float32Array[], guide: Float32Array, w: Float32Array, bias = 0.2) {
  const c = w.length;
  const rows = guide.length / c;
  const each = (data: Float32Array) => ({ shape: [rows, c], data });
  const { outputs } = await runOp(gpu, {
    inputs: {
      ...Object.fromEntries(shallow.map((data, i) => [`u${i}`, each(data)])),
      guide: each(guide),
      w: { shape: [c], data: w },
      bias: { shape: [1], data: Float32Array.of(bias) },
    },
    build: (rec, given) => {
      const found = guidedMix(
        rec,
        shallow.map((_, i) => given[`u${i}`]!),
        given.guide!,
        { w: given.w!, bias: given.bias! },
      );
      return { mixed: found.mixed, weights: found.weights };
    },
  });
  return outputs;
}

test("layers are weighed by what they say to the deepest, less what they repeat", async () => {
  const [n, c, m] = [5, 6, 3];
  const shallow = Array.from({ length: m }, (_, i) => normals(i, n * c, 1));
  const [guide, w] = [normals(10, n * c, 1), normals(11, c, 1)];
  const { mixed, weights } = await mix(shallow, guide, w);
  for (let row = 0; row < n; row++) {
    const part = (x: Float32Array) => [...x.subarray(row * c, (row + 1) * c)];
    const wanted = mixedOf(shallow.map(part), part(guide), [...w]);
    for (const [i, x] of wanted.weights.entries()) expect(weights![row * m + i]).toBeCloseTo(x, 5);
    for (const [k, x] of wanted.mixed.entries()) expect(mixed![row * c + k]).toBeCloseTo(x, 4);
  }
});

test("equal vectors have equal weights, and none that says anything leaves the guide", async () => {
  const u = normals(3, 4, 1);
  const guide = u.map((x) => 2 * x);
  const { weights } = await mix([u, u, u, u], guide, Float32Array.of(1, 1, 1, 1));
  for (const weight of weights!) expect(weight).toBeCloseTo(1 / 4, 5);
  const { mixed } = await mix([u, u], guide, Float32Array.of(-1, -1, -1, -1), 0);
  expect([...mixed!]).toEqual([...guide]);
});

test("at a gate of 0 the deepest state has no part; an open gate adds it", async () => {
  const logits = async (gate: number) => {
    const model = await deep(bindDefaults(sherl, { sherl_gate: gate }));
    const found = await logitsOf(gpu, model, BATCH);
    const table = model.parameters.get("model.layers.4.mlp.down_proj.weight")!; // of the deepest layer that is read
    const own = model.adapter!.parameters().find(({ name }) => name === "sherl.up.weight")!;
    own.write(new Float32Array(own.size)); // the module gives its bias alone
    const still = await logitsOf(gpu, model, BATCH);
    table.write(normals(8, table.size, 0.3));
    const moved = await logitsOf(gpu, model, BATCH);
    model.free();
    return { found, same: moved.every((x, i) => x === still[i]) };
  };
  expect((await logits(0)).same).toBe(true);
  expect((await logits(0.1)).same).toBe(false);
});

test("decoding with a cache is as without one", async () => {
  const model = await deep(bindDefaults(sherl, { sherl_gate: 0.1 }));
  const generator = new Generator(model);
  const [found] = await generator.complete([[1, 5, 7]], { ...GREEDY, maxTokens: 4, stop: [], batch: 1 });
  const ids = [1, 5, 7, ...found!];
  const row = { ids: Int32Array.from(ids), labels: Int32Array.from(ids), group: 0, place: "" };
  const logits = await logitsOf(gpu, model, collate([[row]], { buckets: "none" }));
  const { outputs } = model.sizes;
  for (let i = 2; i < ids.length - 1; i++) {
    const own = [...logits.subarray(i * outputs, (i + 1) * outputs)];
    expect(own.indexOf(Math.max(...own))).toBe(ids[i + 1]!);
  }
  generator.free();
  model.free();
});

test("it keeps less for the way back than LoRA, and no layer below takes a gradient", async () => {
  const kept = async (type: Bound<AdapterType>) => {
    const model = await deep(type);
    const objective = crossEntropyObjective(model);
    const rec = new Recorder(profileOf(gpu));
    const recorded = objective.record(rec, BATCH, "");
    rec.backward(recorded.backward);
    const slots = new SlotPool(gpu);
    const program = await Program.compile(gpu, rec, slots);
    const { bytes } = slots;
    const steps = program.steps.length;
    program.free();
    slots.free();
    model.free();
    return { bytes, steps };
  };
  const [side, low] = [await kept(bindDefaults(sherl)), await kept(bindDefaults(lora))];
  expect(side.bytes).toBeLessThan(0.8 * low.bytes);
  expect(side.steps).toBeLessThan(low.steps);
});

test("a model of too few layers is refused; fewer late layers are advised where there are several", async () => {
  const shallow = (late: number) => {
    const type = bindDefaults(sherl, { sherl_late: late });
    return Model.fresh(gpu, TINY_TEXT.llama!, "m", { seed: 1, adapter: { type, seed: 1 } });
  };
  await expect(shallow(1)).rejects.toThrow("of 2 layers the last 1 run on what the module gives");
  await expect(shallow(1)).rejects.toHaveProperty("hint", "take another type of adapter");
  await expect(shallow(2)).rejects.toHaveProperty("hint", "lower --sherl-late, or take another type of adapter");
});
