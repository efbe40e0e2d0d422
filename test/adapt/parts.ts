/** Low-rank changes in plain numbers, and combinations of them. */
import type { CombineJob, CombineMethod, Part } from "../../src/adapt/contract.ts";
import { keyedUnits } from "../../src/keyed-random.ts";
import { type HostMatrix, hostMatrix, hostProduct } from "../../src/tensor/linear-algebra/leading-svd.ts";
import { truncatedSvd } from "../../src/tensor/linear-algebra/truncated-svd.ts";
import { sharedGpu } from "../support/gpu.ts";
import { normals } from "../support/random.ts";

const matrixOf = (rows: readonly (readonly number[])[]): HostMatrix =>
  hostMatrix(rows.length, rows[0]!.length, Float64Array.from(rows.flat()));

/** A change scale B A from the rows of A and of B. */
export const part = (
  a: readonly (readonly number[])[],
  b: readonly (readonly number[])[],
  { scale = 1, weight = 1 }: { readonly scale?: number; readonly weight?: number } = {},
): Part => ({ a: matrixOf(a), b: matrixOf(b), scale, weight });

/** A change with normal factors. */
export const drawnPart = (
  seed: number,
  [out, rank, into]: readonly [number, number, number],
  given: { readonly scale?: number; readonly weight?: number } = {},
): Part => ({
  a: hostMatrix(rank, into, Float64Array.from(normals(2 * seed, rank * into, 1))),
  b: hostMatrix(out, rank, Float64Array.from(normals(2 * seed + 1, out * rank, 1))),
  scale: given.scale ?? 1,
  weight: given.weight ?? 1,
});

/** scale B A */
export function changeOf({ a, b, scale }: Pick<Part, "a" | "b" | "scale">): number[] {
  return Array.from(hostProduct(b, a).values, (value) => scale * value);
}

/** The change that a combination makes, row by row; to 12 digits. */
export async function combined(
  method: CombineMethod,
  parts: readonly Part[],
  given: { readonly values: Readonly<Record<string, unknown>>; readonly compat?: boolean; readonly rank?: number },
): Promise<number[]> {
  const { values, compat = false } = given;
  const job: CombineJob<unknown> = {
    ...{ parts, values, compat, out: parts[0]!.b.rows, into: parts[0]!.a.columns },
    rank: given.rank ?? Math.max(...parts.map(({ a }) => a.rows)),
    random: (k, what) => keyedUnits(k, what),
    svd: (matrix, most) => truncatedSvd(matrix, most, sharedGpu),
  };
  return changeOf({ ...(await method.combine(job)), scale: 1 }).map((value) => Number(value.toPrecision(12)));
}
