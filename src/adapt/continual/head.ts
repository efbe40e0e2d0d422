/** The head of a classifier: the matrix with a row for each class. */
import { UserError } from "../../errors.ts";
import type { Model } from "../../model/model.ts";
import type { Parameter } from "../../tensor/parameter.ts";

/** The matrix (classes, C) that is trained. Throws UserError where the model has none. */
export function headOf(model: Model, flag: string): Parameter {
  const found = model.trainable().findLast(({ shape }) => shape.length === 2 && shape[0] === model.sizes.outputs);
  if (model.task === "causal-lm")
    throw new UserError(
      `${flag} changes the rows of a classifier's head, and this model writes text`,
      "for a language model take er or ewc",
    );
  if (found?.dtype === "f32") return found;
  throw new UserError(
    `${flag} changes the rows of a classifier's head, and no such matrix of ${model.sizes.outputs} rows is trained in f32`,
    "train the head, or leave the option out",
  );
}

/** Mean length of some rows of a matrix of `width` columns, in float64. */
const meanNorm = (values: Float32Array, rows: readonly number[], width: number): number =>
  rows.reduce((sum, row) => {
    const own = values.subarray(row * width, (row + 1) * width);
    return sum + Math.sqrt(own.reduce((square, x) => square + x * x, 0)) / rows.length;
  }, 0);

/**
 * Weight aligning: rows of new classes are scaled so that their mean length is that of the old classes' rows; biases
 * stay. Gives the factor. Zhao et al., CVPR 2020, https://arxiv.org/abs/1911.07053
 */
export async function alignHead(
  model: Model,
  head: Parameter,
  old: readonly number[],
  fresh: readonly number[],
): Promise<number> {
  const width = head.shape[1]!;
  const values = (await model.gpu.readFloats(head.buffer, head.size)).slice();
  const factor = meanNorm(values, old, width) / meanNorm(values, fresh, width);
  for (const row of fresh) for (let i = row * width; i < (row + 1) * width; i++) values[i]! *= factor;
  head.write(values);
  return factor;
}
