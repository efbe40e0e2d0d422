/**
 * A pair that is taken out of the base and stays frozen beside the trained one: y = W x - s B0 A0 x + s B A x. The file
 * holds A over A0 and B beside -B0, an adapter of twice the rank with the same scale, as PEFT converts its own.
 */
import { encodeFloats } from "../../../checkpoint/decode.ts";
import { UserError } from "../../../errors.ts";
import type { Gpu } from "../../../gpu/gpu.ts";
import type { Bound } from "../../../method/bind.ts";
import { transposed as turned } from "../../../tensor/linear-algebra/leading-svd.ts";
import type { FloatMatrix } from "../../../tensor/linear-algebra/truncated-svd.ts";
import { Parameter } from "../../../tensor/parameter.ts";
import { type AdapterInit, type BegunFactors, begun, type WeightInit } from "../adapter-init.ts";
import type { AdaptedModel } from "../contract.ts";
import { heldValues } from "../held-values.ts";
import type { AdapterTensor } from "../live-adapter.ts";
import { adaptable, type Target } from "../targets.ts";
import { type Pair, turn } from "./factor-files.ts";

/** A frozen pair for a trained one, its values undefined. */
export const frozenBeside = (gpu: Gpu, { a, b }: Pair): Pair => ({
  a: new Parameter(gpu, `${a.name} at the start`, a.shape, "f32", false),
  b: new Parameter(gpu, `${b.name} at the start, negated`, b.shape, "f32", false),
});

const roundsBase = (method: AdapterInit): boolean => method.needs === "weight" && method.rounding !== undefined;

/** Throws UserError for what cannot begin in another way than LoRA's. */
export function expectBeginnable({ module, kind }: Target, { method }: Bound<AdapterInit>, dora: boolean): void {
  if (kind !== "linear")
    throw new UserError(
      `--adapter-init ${method.name} does not begin ${module}: it is for linear layers other than routed experts`,
      "leave it out, or choose --lora-targets",
    );
  const takes = method.takesOut ? "takes a part out of" : roundsBase(method) ? "rounds" : undefined;
  if (dora && takes)
    throw new UserError(
      `--adapter-init ${method.name} ${takes} the base, and --dora has no form for that`,
      "leave one of them out",
    );
}

/** W as (out, in). */
export async function weightOf(gpu: Gpu, weight: Parameter, { into, out, transposed }: Target): Promise<FloatMatrix> {
  const values = await heldValues(gpu, weight);
  return { rows: out, columns: into, values: transposed ? turn(values, [into, out]) : values };
}

interface Beginning {
  readonly gpu: Gpu;
  readonly target: Target;
  /** W, as the model holds it. */
  readonly weight: Parameter;
  readonly init: Bound<WeightInit>;
  readonly rank: number;
  readonly scale: number;
}

/** What a way of weights gives for one; undefined on a device that computes nothing. */
export async function begunOf(beginning: Beginning): Promise<BegunFactors | undefined> {
  const { gpu, target, weight, init, rank, scale } = beginning;
  if (gpu.dry) return undefined;
  return begun(init.method, { weight: await weightOf(gpu, weight, target), rank, scale, gpu, values: init.values });
}

interface Setting {
  readonly gpu: Gpu;
  readonly target: Target;
  /** W, as the model holds it. */
  readonly weight: Parameter;
  readonly init: AdapterInit;
}

/** Sets the weight of the base to rounded values, as (out, in). */
export function setWeight(weight: Parameter, rounded: Float32Array, { into, out, transposed }: Target): void {
  const values = transposed ? turn(rounded, [out, into]) : rounded;
  const bytes = weight.dtype === "f32" ? undefined : encodeFloats(values, "BF16");
  weight.write(bytes ? new Uint16Array(bytes.buffer, bytes.byteOffset, values.length) : values);
}

/** Rounds the base under an adapter that is there, as it was when the adapter began. */
export async function roundBase(
  entries: ReadonlyMap<string, { readonly a: Parameter; readonly scale: number }>,
  how: {
    readonly gpu: Gpu;
    readonly model: AdaptedModel;
    readonly init: Bound<WeightInit>;
  },
): Promise<void> {
  const { gpu, model, init } = how;
  for (const target of adaptable(model.specs)) {
    const entry = entries.get(target.module);
    if (!entry) continue;
    const weight = model.parameters.get(`${target.module}.weight`)!;
    const given = await begunOf({ gpu, target, weight, init, rank: entry.a.shape[0]!, scale: entry.scale });
    if (given?.rounded) setWeight(weight, given.rounded, target);
  }
}

/**
 * Sets a pair that holds LoRA's values to those that a way to begin gives, and makes the frozen pair where a part is
 * taken out; ranks that are not given stay as they are. Throws UserError for values that are not finite.
 */
export async function setPair(pair: Pair, given: BegunFactors | undefined, setting: Setting) {
  const { gpu, target, weight, init } = setting;
  const frozen = init.takesOut ? frozenBeside(gpu, pair) : undefined;
  if (!given) return frozen;
  expectFinite(given, target.module, init.name);
  const { a, b, rounded } = given;
  const drawn = await heldValues(gpu, pair.a);
  drawn.set(a.values);
  pair.a.write(drawn);
  if (!b) return frozen;
  const rank = pair.a.shape[0]!;
  const rows = new Float32Array(rank * target.out);
  rows.set(turned(b).values);
  const columns = turn(rows, [rank, target.out]);
  pair.b.write(columns);
  if (rounded) setWeight(weight, rounded, target);
  if (!frozen) return undefined;
  // What B does not have is not taken out, whatever A is there.
  frozen.a.write(drawn);
  frozen.b.write(columns.map((x) => -x));
  return frozen;
}

function expectFinite({ a, b }: BegunFactors, module: string, name: string): void {
  if ([...a.values, ...(b?.values ?? [])].every((x) => Number.isFinite(Math.fround(x)))) return;
  throw new UserError(
    `--adapter-init ${name} gives ${module} values that are not finite`,
    "the weight itself is very large, or not finite: inspect the model",
    1,
  );
}

/** A file's pair of twice the rank apart: what is trained, and what is taken out. */
export function halves(a: Float32Array, b: Float32Array, rank: number) {
  const half = rank / 2;
  const out = b.length / rank;
  const side = (first: number) => {
    const values = new Float32Array(out * half);
    for (let o = 0; o < out; o++) values.set(b.subarray(o * rank + first, o * rank + first + half), o * half);
    return values;
  };
  return {
    trained: { a: a.subarray(0, a.length / 2), b: side(0), rank: half },
    frozen: { a: a.subarray(a.length / 2), b: side(half), rank: half },
  };
}

/** A tensor of a file that is held in two parts. */
export async function joinedValues(
  gpu: Gpu,
  first: Parameter,
  { parameter, by }: NonNullable<AdapterTensor["joined"]>,
): Promise<Float32Array> {
  const [left, right] = [await heldValues(gpu, first), await heldValues(gpu, parameter)];
  const columns = by === "rows" ? left.length : first.shape.at(-1)!;
  const all = new Float32Array(left.length + right.length);
  for (let from = 0, to = 0; from < left.length; from += columns, to += 2 * columns) {
    all.set(left.subarray(from, from + columns), to);
    all.set(right.subarray(from, from + columns), to + columns);
  }
  return all;
}
