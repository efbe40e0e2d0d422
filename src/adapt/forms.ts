/**
 * The two forms of a combination that works value by value, as PEFT's `add_weighted_adapter` has them: on A and B
 * apart, or on whole changes, of which the leading singular directions are kept.
 */
import type { OptionSpec, Options, Values } from "../method/options.ts";
import { hostMatrix, hostProduct, type Triplets, transposed } from "../tensor/linear-algebra/leading-svd.ts";
import { type CombineJob, combineMethod, type Part, type Product, type TypedCombineMethod } from "./contract.ts";
import type { TensorFormula } from "./tensor-formulas.ts";

/** Of every kind that chooses the rank of its result. */
export const svdRank = {
  svd_rank: {
    type: "number.integer >= 1",
    value: "N",
    help: "rank of the result; the largest of the adapters' ranks when left out",
  },
} as const satisfies Record<string, OptionSpec>;

type Named<O extends Options> = Pick<TypedCombineMethod<O>, "name" | "title" | "about" | "cite">;

/** As PEFT writes singular triplets: B = U S, A = V^T. */
export function asProduct({ s, left, right }: Triplets): Product {
  const b = transposed(left);
  for (let i = 0; i < b.values.length; i++) b.values[i]! *= s[i % s.length]!;
  return { a: right, b };
}

/**
 * Makes a kind that works on A and B apart: of a weight w and a scale s each gets the root of |w s|, and A its sign. So
 * products of factors of different adapters come in, as in PEFT. All adapters need the same rank.
 */
export function onFactors<const O extends Options>({
  options,
  formula,
  ...info
}: Named<O> & { readonly options: O; readonly formula: TensorFormula<Values<O>> }) {
  return combineMethod<O>({
    ...info,
    options,
    ranks: "equal",
    async combine({ parts, out, into, values, compat, random }: CombineJob<Values<O>>) {
      const rank = parts[0]!.a.rows;
      const roots = parts.map(({ weight, scale }) => Math.sqrt(Math.abs(weight * scale)));
      const signed = roots.map((root, k) => (parts[k]!.weight * parts[k]!.scale < 0 ? -root : root));
      const side = (of: "a" | "b", weights: readonly number[]) =>
        formula(
          parts.map((part) => part[of].values),
          weights,
          { values, compat, random: (k) => random(k, of) },
        );
      return { a: hostMatrix(rank, into, side("a", signed)), b: hostMatrix(out, rank, side("b", roots)) };
    },
  });
}

/** scale B A, (out, in) */
export function changeOf({ a, b, scale }: Part): Float64Array {
  const { values } = hostProduct(b, a);
  for (let i = 0; i < values.length; i++) values[i]! *= scale;
  return values;
}

/**
 * Makes a kind that works on whole changes scale B A, and keeps leading singular directions of the result. PEFT weighs
 * changes by weight and scale, so that the scale counts twice; with `compat` it does here too.
 */
export function onChanges<const O extends typeof svdRank>({
  options,
  formula,
  ...info
}: Named<O> & { readonly options: O; readonly formula: TensorFormula<Values<O>> }) {
  return combineMethod<O>({
    ...info,
    options,
    ranks: "chosen",
    whole: true,
    async combine({ parts, out, into, rank, values, compat, random, svd }: CombineJob<Values<O>>) {
      const weights = parts.map(({ weight, scale }) => (compat ? weight * scale : weight));
      const merged = formula(parts.map(changeOf), weights, { values, compat, random: (k) => random(k, "change") });
      return asProduct(await svd({ rows: out, columns: into, values: merged }, rank));
    },
  });
}

/** sum_k w_k s_k B_k A_k as one product of the summed rank: A stacked and scaled, B side by side. */
export function besides(parts: readonly Part[], weightOf: (part: Part) => number): Product {
  const rank = parts.reduce((sum, { a }) => sum + a.rows, 0);
  const [into, out] = [parts[0]!.a.columns, parts[0]!.b.rows];
  const [a, b] = [hostMatrix(rank, into), hostMatrix(out, rank)];
  let first = 0;
  for (const part of parts) {
    const own = part.a.rows;
    const factor = weightOf(part) * part.scale;
    for (let i = 0; i < own * into; i++) a.values[first * into + i] = factor * part.a.values[i]!;
    for (let o = 0; o < out; o++) b.values.set(part.b.values.subarray(o * own, (o + 1) * own), o * rank + first);
    first += own;
  }
  return { a, b };
}
