/**
 * Are models tuned from one base? Samples of some matrices show it: a fine-tune points where its base points, a model
 * trained from another start is at a right angle to it, and merging such models gives noise.
 */
import type { Checkpoint, TensorEntry } from "../../checkpoint/checkpoint.ts";
import { decodeFloats } from "../../checkpoint/decode.ts";
import { DTYPE_BYTES, type Dtype } from "../../checkpoint/dtype.ts";
import { layerOf, nameModels } from "../../model/names.ts";
import type { CheckProblem } from "./problem.ts";

export interface Relation {
  readonly ref: string;
  /** Median over the samples of |x - b| / |b|, where b is the base or first model. */
  readonly distance: number;
  /** Median over the samples of the cosine between x and b. */
  readonly cosine: number;
}

export interface Relatedness {
  readonly tensors: readonly string[];
  /** The base (or first model) against each other model. */
  readonly relations: readonly Relation[];
  /** Cosine between the task vectors of each pair of models, over all samples. */
  readonly pairs: readonly { readonly a: string; readonly b: string; readonly cosine: number }[];
  readonly problems: readonly CheckProblem[];
}

const TENSORS = 8;
const SAMPLE_BYTES = 128 * 1024;
/**
 * Below this cosine to the base no model was tuned from it: strong fine-tunes stay above 0.7, unrelated models are near
 * 0.
 */
const UNRELATED = 0.5;
const READABLE = new Set<Dtype>(["F64", "F32", "F16", "BF16"]);

/**
 * Reads up to 1 MiB per checkpoint; the first one is the base. Adapters are not applied: they start from their base.
 * Undefined when there is nothing to compare, or a checkpoint is a stream, whose weights can be read only once.
 */
export async function relatedness(checkpoints: readonly Checkpoint[]): Promise<Relatedness | undefined> {
  if (checkpoints.length < 2 || checkpoints.some(({ kind }) => kind === "stream")) return undefined;
  const named = nameModels(new Map(checkpoints.map((checkpoint, i) => [`${i}`, checkpoint])), "0", []);
  const models = [...named.values()].map(({ checkpoint, tensors }) => ({ ref: checkpoint.ref, tensors }));
  const tensors = sampled(models.map((model) => model.tensors));
  if (tensors.length === 0) return undefined;
  const samples: Float64Array[][] = []; // [model][tensor]
  for (const model of models) {
    const own: Float64Array[] = [];
    for (const name of tensors)
      own.push(
        await sample(
          name,
          model.tensors.get(name)!,
          models.map((one) => one.tensors),
        ),
      );
    samples.push(own);
  }
  const [base, ...others] = samples;
  const relations = others.map((own, i): Relation => {
    const sums = own.map((x, t) => compare(x, base![t]!));
    const distance = median(sums.map(({ xx, xb, bb }) => Math.sqrt(Math.max(xx - 2 * xb + bb, 0) / bb)));
    return { ref: models[i + 1]!.ref, distance, cosine: median(sums.map(({ xx, xb, bb }) => xb / Math.sqrt(xx * bb))) };
  });
  const tasks = others.map((own) => own.map((x, t) => x.map((value, i) => value - base![t]![i]!)));
  const pairs = tasks.flatMap((a, i) =>
    tasks.slice(i + 1).map((b, j) => ({ a: models[i + 1]!.ref, b: models[i + j + 2]!.ref, cosine: cosineOf(a, b) })),
  );
  return { tensors, relations, pairs, problems: judge(models[0]!.ref, relations, pairs) };
}

function judge(base: string, relations: Relatedness["relations"], pairs: Relatedness["pairs"]): CheckProblem[] {
  const problems: CheckProblem[] = [];
  for (const { ref, distance, cosine } of relations) {
    if (distance === 0)
      problems.push({ level: "note", message: `${ref} and ${base} are equal where they were compared` });
    else if (!(cosine >= UNRELATED)) {
      const message = `${ref} is not a fine-tune of what ${base} is or was tuned from: cosine ${cosine.toFixed(3)}, relative distance ${distance.toFixed(2)}`;
      problems.push({ level: "error", message, hint: "models merge only if they were tuned from one base" });
    }
  }
  for (const { a, b, cosine } of pairs) {
    if (cosine <= 0.999) continue;
    problems.push({
      level: "note",
      message: `${a} and ${b} changed the base in the same way (cosine ${cosine.toFixed(4)})`,
    });
  }
  return problems;
}

/** Matrices inside the layers that all models have in one shape, spread over the depth. */
function sampled(models: readonly ReadonlyMap<string, TensorEntry>[]): string[] {
  const names: string[] = [];
  for (const [name, { shape }] of models[0]!) {
    if (shape.length !== 2 || layerOf(name) === undefined) continue;
    const fits = (entry: TensorEntry | undefined) =>
      entry !== undefined &&
      READABLE.has(entry.dtype) &&
      entry.shape.length === 2 &&
      entry.shape.every((n, i) => n === shape[i]);
    if (models.every((tensors) => fits(tensors.get(name)))) names.push(name);
  }
  if (names.length <= TENSORS) return names;
  // The step is rarely a whole number of layers, so different kinds of matrices are sampled.
  return Array.from({ length: TENSORS }, (_, i) => names[Math.floor(((i + 0.5) * names.length) / TENSORS)]!);
}

/** The middle of a tensor, as many elements in every model. */
async function sample(
  name: string,
  entry: TensorEntry,
  models: readonly ReadonlyMap<string, TensorEntry>[],
): Promise<Float64Array> {
  const widest = Math.max(...models.map((tensors) => DTYPE_BYTES[tensors.get(name)!.dtype]));
  const elements = entry.shape[0]! * entry.shape[1]!;
  const count = Math.min(elements, Math.floor(SAMPLE_BYTES / widest));
  const width = DTYPE_BYTES[entry.dtype];
  const bytes = new Uint8Array(count * width);
  await entry.read(bytes, Math.floor((elements - count) / 2) * width);
  return decode(bytes, entry.dtype);
}

const decode = (bytes: Uint8Array, dtype: Dtype): Float64Array =>
  dtype === "F64" ? new Float64Array(bytes.slice().buffer) : Float64Array.from(decodeFloats(bytes, dtype));

function compare(x: Float64Array, b: Float64Array): { xx: number; xb: number; bb: number } {
  let [xx, xb, bb] = [0, 0, 0];
  for (let i = 0; i < x.length; i++) {
    const [left, right] = [x[i]!, b[i]!];
    xx += left * left;
    xb += left * right;
    bb += right * right;
  }
  return { xx, xb, bb };
}

function cosineOf(a: readonly Float64Array[], b: readonly Float64Array[]): number {
  const sums = a.map((x, t) => compare(x, b[t]!));
  const total = (key: "xx" | "xb" | "bb") => sums.reduce((sum, one) => sum + one[key], 0);
  return total("xb") / Math.sqrt(total("xx") * total("bb"));
}

function median(values: readonly number[]): number {
  const sorted = values.filter((value) => !Number.isNaN(value)).sort((a, b) => a - b);
  const middle = (sorted.length - 1) / 2;
  return (sorted[Math.floor(middle)]! + sorted[Math.ceil(middle)]!) / 2;
}
