/** An adapter in the making: every weight's change decomposed once, then ranks, then factors. */

import { type StoredFactors, stored } from "../../checkpoint/adapter/write-adapter.ts";
import { bytesPerRank, type WrittenModule } from "../../checkpoint/adapter/written.ts";
import { decodeFloats } from "../../checkpoint/decode.ts";
import type { Dtype } from "../../checkpoint/dtype.ts";
import type { Gpu } from "../../gpu/gpu.ts";
import { hostMatrix } from "../../tensor/linear-algebra/leading-svd.ts";
import { squaresOfProduct } from "../../tensor/linear-algebra/low-rank.ts";
import { ranksWithin } from "./budget.ts";
import type { Weight } from "./changes.ts";
import { differenceOf } from "./compare.ts";
import { decompose, lostAt, rankForEnergy } from "./factors.ts";
import type { Spool, Spooled } from "./spool.ts";

export interface ExtractOptions {
  readonly most: number;
  readonly energy: number | undefined;
  readonly epsilon: number;
  /** Roots of singular values in both factors. */
  readonly split: boolean;
  readonly dtype: Dtype;
}

/** A weight that changed. */
export interface Change {
  readonly weight: Weight;
  /** Singular values that were found, and what of the change all of their directions leave out, squared. */
  readonly s: Float64Array;
  readonly rest: number;
  readonly squares: number;
  readonly spooled: Spooled;
  /** Largest rank that is wanted. */
  readonly rank: number;
  /** It would take more to keep the share that was asked for. */
  readonly short: boolean;
}

/** Decomposes a weight's change; undefined where it has none. Memory: two tensors of its shape and their triplets. */
export async function extractChange(
  weight: Weight,
  { most, energy, epsilon, split }: ExtractOptions,
  {
    spool,
    refs,
    openGpu,
  }: {
    readonly spool: Spool;
    readonly refs: { readonly tuned: string; readonly base: string };
    readonly openGpu: () => Promise<Gpu>;
  },
): Promise<Change | undefined> {
  const difference = await differenceOf(weight.tuned, weight.base, refs);
  if (difference.squares === 0) return undefined;
  const found = await decompose(weight, difference, { most, epsilon }, openGpu);
  const { triplets, rest, squares } = found;
  const rank = energy === undefined ? triplets.s.length : rankForEnergy(found, energy);
  const kept = squares - lostAt(triplets.s, rest, rank);
  const short = energy !== undefined && kept < energy * squares * (1 - 1e-6);
  return { weight, s: triplets.s, rest, squares, spooled: spool.add(triplets, split), rank, short };
}

/** A module of the result. */
export interface ExtractedModule extends WrittenModule {
  readonly change: Change;
}

/** The modules that get a rank: as wanted, or under a budget of bytes of factors. */
export function chooseRanks(changes: readonly Change[], dtype: Dtype, budget: number | undefined): ExtractedModule[] {
  const ranks =
    budget === undefined
      ? changes.map(({ rank }) => rank)
      : ranksWithin(
          changes.map(({ s, weight, rank }) => ({ s: s.subarray(0, rank), bytes: bytesPerRank(weight, dtype) })),
          budget,
        );
  return changes.flatMap((change, i) => {
    const { module, kind, inputs, out } = change.weight;
    return ranks[i] === 0 ? [] : [{ module, kind, inputs, out, rank: ranks[i]!, change }];
  });
}

/** What became of a change: its rank in the adapter, its length and what of it is lost, in Frobenius norm. */
export interface Told {
  readonly module: string;
  readonly rank: number;
  readonly norm: number;
  /** Share of the norm. */
  readonly error: number;
}

/** What of a change is lost at a rank, squared; `rounding` is what the type of the factors costs besides. */
export function toldOf({ weight, s, rest, squares }: Change, rank: number, rounding = 0): Told {
  const lost = rank === 0 ? squares : lostAt(s, rest, rank) + rounding;
  return { module: weight.module, rank, norm: Math.sqrt(squares), error: Math.sqrt(lost / squares) };
}

/** The share of all changes together that is lost. */
export function totalError(told: readonly Told[]): number {
  const all = told.reduce((sum, { norm }) => sum + norm ** 2, 0);
  return all === 0 ? 0 : Math.sqrt(told.reduce((sum, { norm, error }) => sum + (norm * error) ** 2, 0) / all);
}

/** Sum of the squares by which the product of factors moves when they are stored in a type. */
export function roundingOf({ a, b }: StoredFactors, rank: number, dtype: Dtype): number {
  if (dtype === "F32") return 0;
  const [into, out] = [a.length / rank, b.length / rank];
  const [nearA, nearB] = [a, b].map((values) => decodeFloats(stored(values, dtype, "a factor"), dtype));
  // B A - B' A' = [B, B'] [A; -A']
  const [wide, tall] = [hostMatrix(2 * rank, into), hostMatrix(out, 2 * rank)];
  wide.values.set(a);
  for (let i = 0; i < nearA!.length; i++) wide.values[rank * into + i] = -nearA![i]!;
  for (let o = 0; o < out; o++)
    for (let k = 0; k < rank; k++) {
      tall.values[o * 2 * rank + k] = b[o * rank + k]!;
      tall.values[o * 2 * rank + rank + k] = nearB![o * rank + k]!;
    }
  return squaresOfProduct(tall, wide);
}
