/** Two checkpoints side by side: which tensors both have, and how far those of equal shape are apart. */
import type { Checkpoint, TensorEntry } from "../checkpoint/checkpoint.ts";
import { type Dtype, isFloat } from "../checkpoint/dtype.ts";
import { isStream } from "../checkpoint/stream/stream.ts";
import { nameModels } from "../model/names.ts";
import { addGap, type Difference, differenceOf, differenceTasks, emptyGap, type Gap } from "./difference.ts";
import { type GpuSource, inFlight, type Task } from "./in-flight-reads.ts";
import { type ReadOptions, skipTask } from "./tensor-statistics.ts";

/** A tensor that both have in one shape. `name` and `dtype` are those of the first checkpoint. */
export interface Compared {
  readonly name: string;
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  readonly bytes: number;
  /** Left out where it is the same. */
  readonly otherDtype?: Dtype;
  readonly gap: Gap;
  /** The same type and the same bits. */
  readonly identical: boolean;
}

export interface Comparison {
  readonly tensors: readonly Compared[];
  readonly total: Difference & { readonly values: number; readonly compared: number; readonly identical: number };
  readonly onlyHere: readonly string[];
  readonly onlyThere: readonly string[];
  /** Tensors that cannot be compared: other shapes, or numbers against integers. */
  readonly shapes: readonly {
    readonly name: string;
    readonly here: readonly number[];
    readonly there: readonly number[];
  }[];
  readonly dtypes: readonly { readonly name: string; readonly here: Dtype; readonly there: Dtype }[];
}

type Pair = readonly [TensorEntry, TensorEntry];

/** Pairs tensors by name; where few names agree, by the names that merging would match. */
function partnersOf(a: Checkpoint, b: Checkpoint, warn: (text: string) => void): Map<string, TensorEntry> {
  const shared = [...a.tensors.keys()].filter((name) => b.tensors.has(name)).length;
  if (shared * 2 >= Math.min(a.tensors.size, b.tensors.size)) return new Map(b.tensors);
  const warnings: string[] = [];
  const models = nameModels(
    new Map([
      ["a", a],
      ["b", b],
    ]),
    "a",
    warnings,
  );
  for (const warning of warnings) warn(warning);
  const there = models.get("b")!.tensors;
  const partners = new Map<string, TensorEntry>();
  const taken = new Set<TensorEntry>();
  for (const [name, entry] of models.get("a")!.tensors) {
    const other = there.get(name);
    if (other) partners.set(entry.name, other);
    if (other) taken.add(other);
  }
  for (const entry of b.tensors.values()) if (!taken.has(entry)) partners.set(entry.name, entry);
  return partners;
}

/**
 * Compares `a` with `b`, which is what distances are relative to. Tensors that `wanted` refuses are left out on both
 * sides.
 */
export async function compare(
  source: GpuSource,
  a: Checkpoint,
  b: Checkpoint,
  wanted: (name: string) => boolean,
  { signal, done, chunkValues, warn = () => {} }: ReadOptions & { readonly warn?: (text: string) => void } = {},
): Promise<Comparison> {
  const partners = partnersOf(a, b, warn);
  const pairs: Pair[] = [];
  const shapes: { name: string; here: readonly number[]; there: readonly number[] }[] = [];
  const dtypes: { name: string; here: Dtype; there: Dtype }[] = [];
  const onlyHere: string[] = [];
  for (const entry of a.tensors.values()) {
    const { name, shape, dtype } = entry;
    if (!wanted(name)) continue;
    const other = partners.get(name);
    partners.delete(name);
    if (!other) onlyHere.push(name);
    else if (shape.length !== other.shape.length || shape.some((n, i) => n !== other.shape[i])) {
      shapes.push({ name, here: shape, there: other.shape });
    } else {
      if (dtype !== other.dtype) dtypes.push({ name, here: dtype, there: other.dtype });
      if (dtype === other.dtype || (isFloat(dtype) && isFloat(other.dtype))) pairs.push([entry, other]);
    }
  }
  const gaps = new Map<TensorEntry, Gap>();
  const chosen = new Map<TensorEntry, Pair>(pairs.map((pair) => [pair[0], pair]));
  async function* tasks(): AsyncGenerator<Task> {
    for (const entry of a.tensors.values()) {
      const pair = chosen.get(entry);
      if (pair) {
        const keep = (gap: Gap) => {
          gaps.set(entry, gap);
          done?.(entry);
        };
        yield* await differenceTasks(source, pair, keep, chunkValues);
      } else if (a.kind === "stream") yield skipTask(entry);
    }
  }
  await inFlight(tasks(), a.kind === "stream" || b.kind === "stream", signal);
  for (const checkpoint of [a, b]) if (isStream(checkpoint)) await checkpoint.finish();

  const total = emptyGap();
  const tensors = pairs.map(([here, there]): Compared => {
    const gap = gaps.get(here)!;
    addGap(total, gap);
    const { name, dtype, shape, bytes } = here;
    const same = dtype === there.dtype;
    return {
      name,
      dtype,
      shape,
      bytes,
      ...(same ? {} : { otherDtype: there.dtype }),
      gap,
      identical: same && gap.differing === 0,
    };
  });
  return {
    tensors,
    total: {
      ...differenceOf(total),
      values: total.values,
      compared: tensors.length,
      identical: tensors.filter(({ identical }) => identical).length,
    },
    onlyHere,
    onlyThere: [...partners.keys()].filter(wanted),
    shapes,
    dtypes,
  };
}
