/** Runs one op, or a small graph of ops, forward and back, and gives what came out; and float64 finite differences. */
import type { Gpu } from "../../src/gpu/gpu.ts";
import type { AdapterProfile } from "../../src/tensor/adapter-profile.ts";
import { type HostArray, Program, profileOf } from "../../src/tensor/program.ts";
import { Recorder } from "../../src/tensor/recorder.ts";
import { type ElementType, sizeOf, type Tensor } from "../../src/tensor/tensor.ts";

export interface OpInput {
  readonly shape: readonly number[];
  readonly data: HostArray;
  /** f32 when left out; bf16 data is packed 16-bit words. */
  readonly dtype?: ElementType;
  /** Ask for its gradient. */
  readonly grad?: boolean;
}

export interface OpRun {
  readonly inputs: Readonly<Record<string, OpInput>>;
  /** One result is called `y`. */
  readonly build: (rec: Recorder, x: Record<string, Tensor>) => Tensor | Record<string, Tensor>;
  /** Gradients of the results, by name; a result that has none is not gone back from. */
  readonly seeds?: Readonly<Record<string, Float32Array>>;
  /** Values of dynamic params; `accumulate` is 0 unless given. */
  readonly values?: Readonly<Record<string, number>>;
  readonly training?: boolean;
  readonly profile?: AdapterProfile;
}

export interface OpResult {
  readonly outputs: Record<string, Float32Array>;
  readonly gradients: Record<string, Float32Array>;
}

/** Records, compiles, runs once and reads everything back. */
export async function runOp(gpu: Gpu, op: OpRun): Promise<OpResult> {
  const rec = new Recorder(op.profile ?? profileOf(gpu), { training: op.training ?? true });
  const tensors: Record<string, Tensor> = {};
  for (const [name, { shape, dtype, grad }] of Object.entries(op.inputs)) {
    tensors[name] = rec.input(name, shape, dtype);
    tensors[name].needsGrad = grad ?? false;
  }
  const built = op.build(rec, tensors);
  const results: Record<string, Tensor> = "storage" in built ? { y: built as Tensor } : built;
  const seeds = Object.entries(op.seeds ?? {});
  if (seeds.length > 0) {
    rec.backward(seeds.map(([name]) => [results[name]!, rec.input(`seed ${name}`, results[name]!.shape)] as const));
  }
  for (const [name, result] of Object.entries(results)) rec.output(name, result);
  const wanted = Object.entries(op.inputs).filter(([name, { grad }]) => grad && rec.incoming(tensors[name]!));
  const shared = new Map<string, number>();
  for (const [name] of wanted) {
    const gradient = rec.incoming(tensors[name]!)!;
    shared.set(name, gradient.storage.id);
    if (gradient.storage.kind === "activation") rec.output(`gradient ${name}`, gradient);
  }
  const program = await Program.compile(gpu, rec);
  try {
    for (const [name, { data }] of Object.entries(op.inputs)) {
      if (
        program.steps.some(({ bind }) => Object.values(bind).some(({ storage }) => storage === tensors[name]!.storage))
      )
        program.write(name, data);
    }
    for (const [name, data] of seeds) program.write(`seed ${name}`, data);
    program.run({ accumulate: 0, ...op.values });
    const read = async (name: string) => (await program.read(name)) as Float32Array;
    const outputs: Record<string, Float32Array> = {};
    for (const name of Object.keys(results)) outputs[name] = await read(name);
    const gradients: Record<string, Float32Array> = {};
    for (const [name] of wanted) {
      const gradient = rec.incoming(tensors[name]!)!;
      // A gradient that passed through unchanged is the seed itself.
      gradients[name] =
        gradient.storage.kind === "activation"
          ? await read(`gradient ${name}`)
          : new Float32Array(seeds.find(([seed]) => gradient.storage.label === `seed ${seed}`)![1]);
    }
    return { outputs, gradients };
  } finally {
    program.free();
  }
}

/**
 * Gradient of sum(dy * f(x)) by central differences in float64, with one step of Richardson extrapolation: error
 * O(step^4). `indices` picks entries of x; all when left out.
 */
export function finiteDifference(
  f: (x: Float64Array) => Float64Array,
  x: ArrayLike<number>,
  dy: ArrayLike<number>,
  indices?: readonly number[],
  step = 1e-3,
): Float64Array {
  const at = Float64Array.from(x);
  const picked = indices ?? Array.from(at, (_, i) => i);
  const value = () => f(at).reduce((sum, y, i) => sum + y * dy[i]!, 0);
  const slope = (i: number, h: number) => {
    const kept = at[i]!;
    at[i] = kept + h;
    const above = value();
    at[i] = kept - h;
    const below = value();
    at[i] = kept;
    return (above - below) / (2 * h);
  };
  return Float64Array.from(picked, (i) => (4 * slope(i, step / 2) - slope(i, step)) / 3);
}

/** Values count of a shape, for tests that make data. */
export const count = (shape: readonly number[]): number => sizeOf(shape);

export interface OpCheck {
  /** Inputs that take a gradient unless they say otherwise; values as f64 references see them. */
  readonly inputs: Readonly<Record<string, OpInput>>;
  readonly build: OpRun["build"];
  /** The op in float64. */
  readonly reference: (x: Readonly<Record<string, Float64Array>>) => Float64Array;
  /** Largest error relative to the largest magnitude of the tensor, forward and back. */
  readonly forward?: number;
  readonly backward?: number;
  /** Entries of each input whose gradient is checked by differences; 24 unless told. */
  readonly entries?: number;
  readonly step?: number;
  readonly profile?: AdapterProfile;
  readonly values?: Readonly<Record<string, number>>;
}

/** Errors of an op relative to the largest magnitude of each tensor. */
export interface OpErrors {
  readonly forward: number;
  readonly backward: number;
}

const worst = (
  got: ArrayLike<number>,
  expected: ArrayLike<number>,
  indices?: readonly number[],
  scale?: number,
): number => {
  const most = scale ?? Array.from(expected).reduce((a, b) => Math.max(a, Math.abs(b)), 1e-30);
  let error = 0;
  for (let i = 0; i < expected.length; i++) {
    const d = Math.abs(got[indices ? indices[i]! : i]! - expected[i]!) / most;
    if (!(d <= error)) error = Number.isNaN(d) ? Number.POSITIVE_INFINITY : d;
  }
  return error;
};

const seen = new Map<string, OpErrors>();

/** How a real GPU's kernels are chosen, whatever the adapter: for running them on a software driver. */
export const hardware: AdapterProfile = { subgroupSize: 0, software: false, discrete: true };

/**
 * Compares an op with its float64 reference, and its gradients with central differences of the reference. Throws when
 * off.
 */
export async function checkOp(gpu: Gpu, name: string, check: OpCheck): Promise<OpErrors> {
  const { inputs, build, reference, forward = 2e-6, backward = 5e-6, entries = 24, step, profile, values } = check;
  const wanted = Object.fromEntries(
    Object.entries(inputs).map(([key, x]) => [key, { ...x, grad: x.grad ?? x.data instanceof Float32Array }]),
  );
  const exact = Object.fromEntries(Object.entries(inputs).map(([key, { data }]) => [key, Float64Array.from(data)]));
  const expected = reference(exact);
  const dy = Float32Array.from(expected, (_, i) => Math.sin(1.7 * i + 0.3));
  const { outputs, gradients } = await runOp(gpu, {
    inputs: wanted,
    build,
    seeds: { y: dy },
    ...(profile ? { profile } : {}),
    ...(values ? { values } : {}),
  });
  const errors = { forward: worst(outputs.y!, expected), backward: 0 };
  const largest = (values: Float32Array) => values.reduce((a, b) => Math.max(a, Math.abs(b)), 1e-30);
  // A gradient that is zero but for rounding is held against the others.
  const least = 1e-4 * Object.values(gradients).reduce((a, gradient) => Math.max(a, largest(gradient)), 0);
  for (const [key, gradient] of Object.entries(gradients)) {
    const n = gradient.length;
    const stride = Math.max(1, Math.floor(n / entries));
    const indices = Array.from({ length: Math.min(entries, n) }, (_, i) => (i * stride) % n);
    const slopes = finiteDifference((x) => reference({ ...exact, [key]: x }), exact[key]!, dy, indices, step);
    const scale = Math.max(least, largest(gradient));
    errors.backward = Math.max(errors.backward, worst(gradient, slopes, indices, scale));
  }
  const before = seen.get(name) ?? { forward: 0, backward: 0 };
  const all = {
    // What is not checked (a loss that is 0 by definition has no relative error) is not told.
    forward: Math.max(before.forward, Number.isFinite(forward) ? errors.forward : 0),
    backward: Math.max(before.backward, Number.isFinite(backward) ? errors.backward : 0),
  };
  seen.set(name, all);
  // Each line is the worst so far; the last of a name is that of the run.
  if (process.env.INGOT_TEST_ERRORS)
    console.error(`| ${name} | ${all.forward.toExponential(1)} | ${all.backward.toExponential(1)} |`);
  if (!(errors.forward <= forward) || !(errors.backward <= backward)) {
    throw new Error(
      `${name}: error ${errors.forward} forward (${forward} allowed), ${errors.backward} back (${backward} allowed)`,
    );
  }
  return errors;
}
