/**
 * Singular directions of task matrices, kept in memory: a search merges the same models many times, and their
 * directions do not change.
 */
import type { TensorEntry } from "../../checkpoint/checkpoint.ts";
import { hostMatrix, leadingSvd } from "../../tensor/linear-algebra/leading-svd.ts";

/** A = left^T diag(s) right, in f32: row r of `left` (k, rows) and of `right` (k, columns) is a unit vector. */
export interface Directions {
  readonly s: Float32Array;
  readonly left: Float32Array;
  readonly right: Float32Array;
}

/** Bytes that are kept; the least recently used go first. */
const MOST_BYTES = 2 ** 30;

interface Kept {
  readonly base: TensorEntry;
  readonly variant: string;
  readonly parts: readonly Directions[];
}

/** The first is the least recently used. */
const kept = new Map<TensorEntry, Kept>();
let bytes = 0;

const bytesOf = ({ parts }: Kept): number =>
  parts.reduce((sum, { s, left, right }) => sum + 4 * (s.length + left.length + right.length), 0);

function drop(entry: TensorEntry): void {
  const old = kept.get(entry);
  if (!old) return;
  kept.delete(entry);
  bytes -= bytesOf(old);
}

/** The directions of one (rows, columns) matrix of f32 values, all finite. */
export function directionsOf(values: Float32Array, rows: number, columns: number): Directions {
  const { s, left, right } = leadingSvd(hostMatrix(rows, columns, Float64Array.from(values)));
  return { s: Float32Array.from(s), left: Float32Array.from(left.values), right: Float32Array.from(right.values) };
}

/**
 * What `make` gives, or gave for these inputs before. `variant`: whatever else it depends on, such as the type in which
 * the inputs are read.
 */
export async function keptDirections(
  model: TensorEntry,
  base: TensorEntry,
  variant: string,
  make: () => Promise<readonly Directions[]>,
): Promise<readonly Directions[]> {
  const found = kept.get(model);
  if (found && found.base === base && found.variant === variant) {
    kept.delete(model);
    kept.set(model, found);
    return found.parts;
  }
  const made: Kept = { base, variant, parts: await make() };
  drop(model);
  if (bytesOf(made) > MOST_BYTES) return made.parts;
  kept.set(model, made);
  bytes += bytesOf(made);
  for (const [entry] of kept) {
    if (bytes <= MOST_BYTES) break;
    drop(entry);
  }
  return made.parts;
}
