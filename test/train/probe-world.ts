/** A small classifier of numbers with its figures in float64, for the tests of what looks at models. */
import { type NumbersBatch, stackExamples } from "../../src/data/batch.ts";
import { bindDefaults } from "../../src/method/bind.ts";
import { loadMethod } from "../../src/method/registry.ts";
import type { Json } from "../../src/model/architecture.ts";
import { Model } from "../../src/model/model.ts";
import type { RunningProbe } from "../../src/train/training-probe.ts";
import { erf } from "../support/erf.ts";
import { sharedGpu } from "../support/gpu.ts";
import { normals } from "../support/random.ts";

export const INPUT = 3;
export const WIDTH = 4;
export const CLASSES = 3;
export const MLP: Json = {
  model_type: "mlp",
  ...{ input_size: INPUT, hidden_sizes: [WIDTH], num_labels: CLASSES, hidden_act: "gelu" },
};
export const ROWS = Array.from({ length: 7 }, (_, i) => ({
  ...{ x: normals(30 + i, INPUT), shape: [INPUT], label: (2 * i) % CLASSES, group: 0, place: `row ${i}` },
}));
export const batchesOf = (size: number): NumbersBatch[] =>
  Array.from({ length: Math.ceil(ROWS.length / size) }, (_, i) => stackExamples(ROWS.slice(i * size, (i + 1) * size)));

/** A probe under its defaults, but for these values. */
export async function begin(
  name: string,
  model: Model,
  batches: Parameters<Awaited<ReturnType<typeof loadProbe>>["begin"]>[0]["batches"],
  given: Readonly<Record<string, unknown>> = {},
  eps?: number,
): Promise<RunningProbe> {
  const method = await loadProbe(name);
  const { values } = bindDefaults(method, given);
  return method.begin({ model, batches, values, seed: 1, steps: 100, eps });
}

const loadProbe = (name: string) => loadMethod("training-probe", name);

export const fresh = async (seed = 0): Promise<Model> => Model.fresh(await sharedGpu(), MLP, "tiny", { seed });

/** All weights, one after the other. */
export async function weightsOf(model: Model): Promise<Float64Array> {
  const parts = await Promise.all(model.trainable().map(({ buffer, size }) => model.gpu.readFloats(buffer, size)));
  return Float64Array.from(parts.flatMap((part) => [...part]));
}

const gelu = (x: number): number => 0.5 * x * (1 + erf(x / Math.SQRT2));

/** Features and logits of a row, at weights one after the other: the layer's, then the head's. */
export function answer(w: Float64Array, x: ArrayLike<number>): { features: number[]; logits: number[] } {
  const layer = (from: number, input: readonly number[], out: number) =>
    Array.from({ length: out }, (_, o) =>
      input.reduce((sum, v, i) => sum + v * w[from + o * input.length + i]!, w[from + out * input.length + o]!),
    );
  const features = layer(0, Array.from(x), WIDTH).map(gelu);
  return { features, logits: layer(WIDTH * (INPUT + 1), features, CLASSES) };
}

export const logSum = (z: readonly number[]): number => Math.log(z.reduce((sum, v) => sum + Math.exp(v), 0));

export const lossAt = (w: Float64Array): number =>
  ROWS.reduce((sum, { x, label }) => {
    const { logits } = answer(w, x);
    return sum + (logSum(logits) - logits[label]!) / ROWS.length;
  }, 0);

/** Central differences of a vector of numbers, by weight. */
export function differences(w: Float64Array, of: (w: Float64Array) => readonly number[], h: number): number[][] {
  return Array.from(w, (_, i) => {
    const [ahead, behind] = [h, -h].map((step) => of(w.map((value, j) => (i === j ? value + step : value))));
    return ahead!.map((value, k) => (value - behind![k]!) / (2 * h));
  });
}

export const gradientAt = (w: Float64Array): number[] => differences(w, (at) => [lossAt(at)], 1e-5).map(([g]) => g!);
