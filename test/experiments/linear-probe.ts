/** What a linear classifier can tell of a perceptron's features: ridge regression on labels, in float64. */
import { symmetricInverse } from "../../src/tensor/linear-algebra/cholesky.ts";
import { valuesOf } from "../support/checkpoint-values.ts";

export interface Labelled {
  readonly x: readonly number[];
  readonly label: number;
}

/** What the head of a perceptron with rectifiers reads of rows, with a 1 at the end. */
export async function featuresOf(folder: string, rows: readonly Labelled[]): Promise<number[][]> {
  const tensors = await valuesOf(folder);
  let states = rows.map(({ x }) => [...x]);
  for (let layer = 0; tensors.has(`layers.${layer}.weight`); layer++) {
    const { shape, values } = tensors.get(`layers.${layer}.weight`)!;
    const [out = 0, into = 0] = shape;
    const bias = tensors.get(`layers.${layer}.bias`)!.values;
    states = states.map((x) =>
      Array.from({ length: out }, (_, r) =>
        Math.max(
          0,
          x.reduce((sum, v, c) => sum + v * values[r * into + c]!, bias[r]!),
        ),
      ),
    );
  }
  return states.map((x) => [...x, 1]);
}

/** Accuracy on held-out rows of the linear map with least squares to the labels of others, and a small penalty. */
export async function probe(
  folder: string,
  {
    fit,
    held,
    classes,
  }: { readonly fit: readonly Labelled[]; readonly held: readonly Labelled[]; readonly classes: number },
): Promise<number> {
  const [known, asked] = [await featuresOf(folder, fit), await featuresOf(folder, held)];
  const d = known[0]!.length;
  const gram = new Float64Array(d * d);
  for (const x of known) for (let i = 0; i < d; i++) for (let j = 0; j < d; j++) gram[i * d + j]! += x[i]! * x[j]!;
  const size = known.reduce((sum, x) => sum + x.reduce((all, v) => all + v * v, 0), 0) / d;
  for (let i = 0; i < d; i++) gram[i * d + i]! += 1e-4 * size;
  const inverse = symmetricInverse(gram, d)!;
  const weights = Array.from({ length: classes }, (_, label) => {
    const sums = new Float64Array(d);
    for (const [n, x] of known.entries()) if (fit[n]!.label === label) for (let i = 0; i < d; i++) sums[i]! += x[i]!;
    return Float64Array.from({ length: d }, (_, i) => sums.reduce((all, v, j) => all + v * inverse[i * d + j]!, 0));
  });
  const right = asked.filter((x, n) => {
    const scores = weights.map((w) => x.reduce((sum, v, i) => sum + v * w[i]!, 0));
    return scores.indexOf(Math.max(...scores)) === held[n]!.label;
  });
  return right.length / asked.length;
}
