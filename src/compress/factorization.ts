/**
 * What a factorization is: it gives two thin matrices in the place of one linear layer, and maybe a few of its columns.
 */
import type { Options, Values } from "../method/options.ts";
import type { MethodInfo } from "../method/registry.ts";
import { matmul } from "../tensor/linear-algebra/matmul.ts";
import type { Layer, MeasuredLayer } from "./layer.ts";

/** W is about left right^T, and exactly W in what `rest` adds to some columns. Row-major. */
export interface Factors {
  readonly rank: number;
  /** (rows, rank) */
  readonly left: Float32Array;
  /** (columns, rank) */
  readonly right: Float32Array;
  /** Columns in which something is added to the product. */
  readonly rest?: { readonly columns: readonly number[]; readonly values: Float32Array };
}

interface Shared<O extends Options> extends MethodInfo<O> {
  /** Refuses what it cannot do. Throws UserError. */
  check?(values: Values<O>): void;
}

export interface WeightFactorization<O extends Options = Options> extends Shared<O> {
  readonly needs: "weights";
  /** Leaves the layer's weight as it is. `rank` is at most the shorter side. */
  factor(layer: Layer, rank: number, values: Values<O>): Promise<Factors>;
}

export interface InputFactorization<O extends Options = Options> extends Shared<O> {
  readonly needs: "inputs";
  /** The same, by what the layer reads. */
  factor(layer: MeasuredLayer, rank: number, values: Values<O>): Promise<Factors>;
}

export type Factorization = WeightFactorization | InputFactorization;

export const defineWeightFactorization = <const O extends Options>(
  method: Omit<WeightFactorization<O>, "needs">,
): WeightFactorization<O> => ({ needs: "weights", ...method });

export const defineInputFactorization = <const O extends Options>(
  method: Omit<InputFactorization<O>, "needs">,
): InputFactorization<O> => ({ needs: "inputs", ...method });

/** How many values factors hold. */
export const valuesOf = ({ left, right, rest }: Factors): number =>
  left.length + right.length + (rest?.values.length ?? 0);

/** Writes left right^T and what is added to it into the layer's weight. */
export async function multiplyOut({ gpu, rows, columns, weight }: Layer, factors: Factors): Promise<void> {
  const { rank, rest } = factors;
  const n = rows * columns;
  if (rank === 0) gpu.clear(weight.buffer, 4 * n);
  else {
    using left = gpu.upload(factors.left, "left factor");
    using right = gpu.upload(factors.right, "right factor");
    const a = { buffer: left.buffer, rows, columns: rank };
    const b = { buffer: right.buffer, rows: columns, columns: rank };
    await matmul(gpu, { form: "nt", a, b, c: { buffer: weight.buffer, rows, columns } });
  }
  if (!rest || rest.columns.length === 0) return;
  const values = await gpu.readFloats(weight.buffer, n);
  for (let row = 0; row < rows; row++)
    for (const [k, column] of rest.columns.entries())
      values[row * columns + column]! += rest.values[row * rest.columns.length + k]!;
  gpu.write(weight.buffer, 0, new Uint8Array(values.buffer));
}

declare module "../method/registry.ts" {
  interface Contracts {
    factorization: Factorization;
  }
}
