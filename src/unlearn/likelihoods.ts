/**
 * The capability of a loss that compares with the model as it was (theta0): its likelihoods of the rows to forget, one
 * number each, computed before the first step. No second model is held.
 */
import { likelihoods as likelihoodsOf } from "../run/scoring/row-losses.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { RowNumbers, UnlearnCapability } from "./capability.ts";

/** The numbers of a batch's rows; 0 for rows that stand for others. */
export const numbersOf = (rows: RowNumbers, all: readonly number[]): Float32Array =>
  Float32Array.from(rows, (row) => (row === undefined ? 0 : all[row]!));

export const likelihoods: UnlearnCapability<{
  /** (B): theta0's sum of nll over the tokens that count. */
  readonly reference: Tensor;
}> = {
  name: "likelihoods",
  options: {},
  async supply() {
    let known: readonly number[] = [];
    return {
      async ask({ model, sequences, ...how }) {
        known = await likelihoodsOf(model, sequences, how);
      },
      record: (rec, { rows }) => ({ reference: rec.input("reference", [rows.length]) }),
      fill: (program, rows) => program.write("reference", numbersOf(rows, known)),
      state: () => [...known],
      load: (state) => {
        known = state as number[];
      },
    };
  },
};
