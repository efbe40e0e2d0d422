/** An adapter's module at another rank. */
import type { LowRankModule } from "../checkpoint/adapter/value.ts";
import type { StoredFactors } from "../checkpoint/adapter/write-adapter.ts";
import { hostMatrix } from "../tensor/linear-algebra/leading-svd.ts";
import { svdOfProduct } from "../tensor/linear-algebra/low-rank.ts";
import { asProduct } from "./forms.ts";

export interface Resized {
  readonly module: LowRankModule;
  readonly rank: number;
  /** The change's Frobenius norm, and the share of it that is lost. */
  readonly norm: number;
  readonly error: number;
}

/** Which rank a module gets: this one, or the least that keeps a share of the change's squares. */
export type Wanted = { readonly rank: number } | { readonly energy: number };

async function tripletsOf({ read, rank, into, out, scale }: LowRankModule) {
  const { a, b } = await read();
  const wide = hostMatrix(rank, into, Float64Array.from(a));
  const tall = hostMatrix(
    out,
    rank,
    Float64Array.from(b, (value) => scale * value),
  );
  return { wide, tall, triplets: svdOfProduct(tall, wide) };
}

/** The rank that a module gets, and what that costs; no rank is above what the sides of the weight allow. */
export async function planResize(module: LowRankModule, wanted: Wanted): Promise<Resized> {
  const { s } = (await tripletsOf(module)).triplets;
  const squares = s.reduce((sum, value) => sum + value ** 2, 0);
  const most = Math.min(module.into, module.out);
  let rank = "rank" in wanted ? Math.min(wanted.rank, most) : 1;
  const lostAt = (kept: number) => s.subarray(kept).reduce((sum, value) => sum + value ** 2, 0);
  if ("energy" in wanted) while (rank < s.length && squares - lostAt(rank) < wanted.energy * squares) rank++;
  const error = squares === 0 || rank >= module.rank ? 0 : Math.sqrt(lostAt(rank) / squares);
  return { module, rank, norm: Math.sqrt(squares), error };
}

/**
 * Factors of the new rank, the scale in them: leading singular directions, or where the rank grows the factors as they
 * are, with zeros behind them.
 */
export async function resized({ module, rank }: Resized): Promise<StoredFactors> {
  const { wide, tall, triplets } = await tripletsOf(module);
  const { a, b } = rank >= module.rank ? { a: wide, b: tall } : asProduct(triplets);
  const kept = Math.min(rank, a.rows);
  const [newA, newB] = [new Float32Array(rank * module.into), new Float32Array(module.out * rank)];
  newA.set(a.values.subarray(0, kept * module.into));
  for (let o = 0; o < module.out; o++) for (let k = 0; k < kept; k++) newB[o * rank + k] = b.values[o * a.rows + k]!;
  return { a: newA, b: newB };
}
