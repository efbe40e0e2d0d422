/** Generated kernels: of what a token sees and nothing after it; of packed rows apart; of images and of vectors. */
import { expect, test } from "bun:test";
import { type Batch, collate, stackExamples } from "../../../src/data/batch.ts";
import { bindDefaults } from "../../../src/method/bind.ts";
import { loadMethod } from "../../../src/method/registry.ts";
import { meanOfSeen } from "../../../src/model/adapters/sample-code.ts";
import type { Json } from "../../../src/model/architecture.ts";
import { Model } from "../../../src/model/model.ts";
import { fillInputs, recordInputs } from "../../../src/run/batch-programs.ts";
import { Generator } from "../../../src/run/generating/generate.ts";
import { GREEDY } from "../../../src/run/generating/sampling.ts";
import { Program, profileOf } from "../../../src/tensor/program.ts";
import { Recorder } from "../../../src/tensor/recorder.ts";
import type { Tensor } from "../../../src/tensor/tensor.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { logitsOf } from "../../support/logits.ts";
import { runOp } from "../../support/program.ts";
import { normals } from "../../support/random.ts";
import { TINY_ENCODERS, TINY_EXAMPLES, TINY_TEXT } from "../../support/tiny-models.ts";

const gpu = await sharedGpu();
const type = bindDefaults(await loadMethod("adapter", "hyper-kernel"), { hyper_code: 6 });

/** A model whose gates are open. */
async function opened(json: Json): Promise<Model> {
  const model = await Model.fresh(gpu, json, "m", { seed: 4, adapter: { type, seed: 1 } });
  for (const [i, parameter] of model.adapter!.parameters().entries())
    if (parameter.name.endsWith("hyper_gate")) parameter.write(normals(i, parameter.size, 0.5));
  return model;
}

const sequence = (ids: readonly number[]) => ({
  ids: Int32Array.from(ids),
  labels: Int32Array.from(ids),
  group: 0,
  place: "",
});
const rows = (...bins: readonly (readonly number[])[][]) =>
  collate(
    bins.map((bin) => bin.map(sequence)),
    { buckets: "none" },
  );

const near = (found: Float32Array, wanted: Float32Array) => {
  expect(found.length).toBe(wanted.length);
  for (const [i, x] of found.entries()) expect(x).toBeCloseTo(wanted[i]!, 4);
};

test("the mean is over the tokens up to each, and over all where nothing is causal", async () => {
  const x = { shape: [4, 2], data: Float32Array.of(1, 10, 3, 30, 5, 50, 100, 200) };
  const { outputs } = await runOp(gpu, {
    inputs: { x, ids: { shape: [4], data: new Int32Array(4), dtype: "i32" } },
    build: (rec, given) => {
      const ids = given.ids!;
      const causal = { batch: 1, length: 4, ids, positions: ids };
      return {
        so: meanOfSeen(rec, causal, given.x!, "m"),
        all: meanOfSeen(rec, { batch: 2, x: given.x! }, given.x!, "m"),
      };
    },
  });
  near(outputs.so!, Float32Array.of(1, 10, 2, 20, 3, 30, 27.25, 72.5));
  near(outputs.all!, Float32Array.of(2, 20, 2, 20, 52.5, 125, 52.5, 125));
});

test("no token sees a later one, packed rows see themselves alone, and a cache changes nothing", async () => {
  const model = await opened(TINY_TEXT.llama!);
  const { outputs } = model.sizes;
  const [a, b] = [
    [1, 5, 7, 2, 9],
    [4, 8, 15],
  ];
  const whole = await logitsOf(gpu, model, rows([a!]));
  near(await logitsOf(gpu, model, rows([a!.slice(0, 3)])), whole.subarray(0, 3 * outputs));
  const packed = await logitsOf(gpu, model, rows([b!, a!]));
  near(packed.subarray(3 * outputs), whole);
  const base = await model.frozenCopy();
  const plain = await logitsOf(gpu, base, rows([a!]));
  expect(Math.max(...whole.map((x, i) => Math.abs(x - plain[i]!)))).toBeGreaterThan(0.1);
  const generator = new Generator(model);
  const [found] = await generator.complete([a!], { ...GREEDY, maxTokens: 4, stop: [], batch: 1 });
  const ids = [...a!, ...found!];
  const logits = await logitsOf(gpu, model, rows([ids]));
  for (let i = a!.length - 1; i < ids.length - 1; i++) {
    const own = [...logits.subarray(i * outputs, (i + 1) * outputs)];
    expect(own.indexOf(Math.max(...own))).toBe(ids[i + 1]!);
  }
  generator.free();
  base.free();
  model.free();
});

test("two passes over the same inputs in one recording take their gradients apart", async () => {
  const model = await opened(TINY_TEXT.llama!);
  const batch = rows([[1, 5, 7, 2, 9]]);
  const weight = model.adapter!.parameters().find(({ name }) => name === "hyper.in.weight")!;
  const gradientOf = async (passes: number) => {
    const rec = new Recorder(profileOf(gpu));
    const inputs = recordInputs(rec, batch);
    const seeds: [Tensor, Tensor][] = [];
    for (let pass = 0; pass < passes; pass++) {
      const { hidden } = model.record(rec, inputs, { recompute: true });
      seeds.push([hidden, rec.input("seed", hidden.shape)]);
    }
    rec.backward(seeds);
    const program = await Program.compile(gpu, rec);
    fillInputs(program, batch);
    program.write("seed", normals(9, 5 * model.sizes.width, 1));
    program.run({ accumulate: 0 });
    const found = await gpu.readFloats(weight.gradient, weight.size);
    program.free();
    return found;
  };
  const once = await gradientOf(1);
  expect(Math.hypot(...once)).toBeGreaterThan(0);
  const twice = await gradientOf(2);
  for (const [i, x] of twice.entries()) expect(x).toBeCloseTo(2 * once[i]!, 3);
  model.free();
});

test.each(Object.entries({ ...TINY_EXAMPLES, ...TINY_ENCODERS }))(
  "%s: examples of a batch do not mix",
  async (_, json) => {
    const model = await opened(json);
    const { example, text } = model.sizes;
    if (!example || text) return model.free();
    const size = example.reduce((p, q) => p * q, 1);
    const batchOf = (...seeds: number[]): Batch =>
      stackExamples(seeds.map((seed) => ({ x: normals(seed, size, 1), shape: example, label: 0 })));
    const [one, two] = [await logitsOf(gpu, model, batchOf(1)), await logitsOf(gpu, model, batchOf(2))];
    near(await logitsOf(gpu, model, batchOf(1, 2)), Float32Array.of(...one, ...two));
    const base = await model.frozenCopy();
    const plain = await logitsOf(gpu, base, batchOf(1));
    expect(plain.some((x, i) => Math.abs(x - one[i]!) > 1e-3)).toBe(true);
    base.free();
    model.free();
  },
);
