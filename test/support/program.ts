/** Runs one op, or a small graph of ops, forward and back, and gives what came out; and float64 finite differences. */
import type { Gpu } from "../../src/gpu/gpu.ts";
import { type HostArray, Program, profileOf } from "../../src/tensor/program.ts";
import { type AdapterProfile, Recorder } from "../../src/tensor/recorder.ts";
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
 * Gradient of sum(dy * f(x)) by central differences in float64, with one step of Richardson extrapolation: error O(step^4).
 * `indices` picks entries of x; all when left out.
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
