/** A combination of adapters, module by module: its plan, and what each module becomes. */

import type { SharedModule } from "../checkpoint/adapter/together.ts";
import type { AdapterValue } from "../checkpoint/adapter/value.ts";
import type { WrittenModule } from "../checkpoint/adapter/written.ts";
import { UserError } from "../errors.ts";
import type { Gpu } from "../gpu/gpu.ts";
import { keyedUnits } from "../keyed-random.ts";
import { type HostMatrix, hostMatrix, hostProduct } from "../tensor/linear-algebra/leading-svd.ts";
import { isRandomised, truncatedSvd } from "../tensor/linear-algebra/truncated-svd.ts";
import type { CombineMethod, Part, Product } from "./contract.ts";

export interface Combination {
  readonly method: CombineMethod;
  readonly values: Readonly<Record<string, unknown>>;
  readonly adapters: readonly AdapterValue[];
  readonly weights: readonly number[];
  readonly compat: boolean;
  readonly seed: number;
}

/** A module of the result. */
export interface CombinedModule extends WrittenModule {
  readonly from: SharedModule;
  readonly into: number;
}

/**
 * What will be made, before any factor is read. Throws UserError where a kind that works on factors finds different
 * ranks.
 */
export function planCombination(
  shared: readonly SharedModule[],
  { method, values, adapters }: Combination,
): CombinedModule[] {
  const ranks = shared.flatMap(({ of }) => of.map(([, { rank }]) => rank));
  const largest = Math.max(1, ...ranks);
  return shared.map((from) => {
    const { module, of } = from;
    const { kind, inputs, into, out } = of[0]![1];
    const own = of.map(([, { rank }]) => rank);
    const odd = own.findIndex((rank) => rank !== own[0]);
    if (method.ranks === "equal" && odd > 0)
      throw new UserError(
        `${module} has rank ${own[0]} in ${refOf(adapters, of[0]!)} and ${own[odd]} in ${refOf(adapters, of[odd]!)}; ${method.name} needs equal ranks`,
        `use --method ${method.name === "linear" ? "cat or svd" : `cat, svd or ${method.name}-svd`}, or bring them to one rank with adapt resize`,
      );
    const chosen = Math.min((values.svd_rank as number | undefined) ?? largest, out, into);
    const rank = { equal: own[0]!, sum: own.reduce((sum, one) => sum + one, 0), chosen }[method.ranks];
    return { from, module, kind, inputs, into, out, rank };
  });
}

const refOf = (adapters: readonly AdapterValue[], [k]: SharedModule["of"][number]): string =>
  adapters[k]!.checkpoint.ref;

/** Whether a module's decomposition runs on the GPU, if the kind decomposes whole changes. */
export const usesGpu = ({ out, into, rank }: CombinedModule, method: CombineMethod): boolean =>
  method.whole === true && isRandomised(out, into, rank);

/** Bytes on the host at once: a module's factors, and with whole changes those, their sum and a sorted copy. */
export const bytesFor = ({ out, into, rank, from }: CombinedModule, method: CombineMethod): number => {
  const ranks = from.of.reduce((sum, [, change]) => sum + change.rank, rank);
  return 8 * (2 * ranks * (out + into) + (method.whole ? (2 * from.of.length + 2) * out * into : 0));
};

/** Factors of exactly the rank: further ones are zero. */
function filledTo({ a, b }: Product, rank: number): Product {
  if (a.rows > rank) throw new RangeError(`a combination of rank ${a.rows}, planned ${rank}`);
  if (a.rows === rank) return { a, b };
  const [wide, tall] = [hostMatrix(rank, a.columns), hostMatrix(b.rows, rank)];
  wide.values.set(a.values);
  for (let o = 0; o < b.rows; o++) tall.values.set(b.values.subarray(o * a.rows, (o + 1) * a.rows), o * rank);
  return { a: wide, b: tall };
}

/** Reads the parts of a module and combines them. Throws UserError for what is not finite. */
export async function combineModule(
  { module, from, into, out, rank }: CombinedModule,
  { method, values, adapters, weights, compat, seed }: Combination,
  openGpu: () => Promise<Gpu>,
): Promise<Product> {
  const parts: Part[] = [];
  for (const [k, change] of from.of) {
    const { a, b } = await change.read();
    parts.push({
      a: hostMatrix(change.rank, into, Float64Array.from(a)),
      b: hostMatrix(out, change.rank, Float64Array.from(b)),
      scale: change.scale,
      weight: weights[k]!,
    });
  }
  const product = await method.combine({
    ...{ parts, out, into, rank, values, compat },
    random: (k, what) => keyedUnits(seed, `${module}\0${from.of[k]![0]}\0${what}`),
    svd: (matrix, most) => truncatedSvd(matrix, most, openGpu),
  });
  for (const { values: side } of [product.a, product.b])
    if (!side.every((value) => Number.isFinite(Math.fround(value))))
      throw new UserError(
        `${module} combined is not finite in f32 (from ${from.of.map((part) => refOf(adapters, part)).join(", ")})`,
        "the adapters' values or weights are too large",
        1,
      );
  return filledTo(product, rank);
}

/** B A, (out, in), for tests and reports. */
export const productOf = ({ a, b }: Product): HostMatrix => hostProduct(b, a);
