/**
 * Weight Aligning: scales the rows of a head that belong to new classes, so that their mean length is that of the old
 * ones.
 *
 * Zhao et al., "Maintaining Discrimination and Fairness in Class Incremental Learning", CVPR 2020,
 * https://arxiv.org/abs/1911.07053. A head trained on new classes with few examples of the old ones has longer rows for
 * the new, which wins them ties. Also for rows of `lm_head` that a larger vocabulary added. Biases and all other
 * tensors are copied.
 */
import { UserError } from "../../../errors.ts";
import { mergeMethod } from "../../contract.ts";
import { gramsAlong } from "../../job/along-axis.ts";
import { takeInput } from "../../updates/add-task-vectors.ts";
import { expectHead } from "../../updates/head-rows.ts";

/** mean length of the first `old` rows / mean length of the rest, from squared lengths. */
export function alignFactor(squares: ArrayLike<number>, old: number): number {
  let [before, after] = [0, 0];
  for (let row = 0; row < squares.length; row++) {
    if (row < old) before += Math.sqrt(squares[row]!);
    else after += Math.sqrt(squares[row]!);
  }
  return before / old / (after / (squares.length - old));
}

export const method = mergeMethod({
  name: "weight_align",
  title: "Weight Aligning",
  about: "give the rows of new classes in a head the mean length of the old ones",
  cite: "arXiv:1911.07053",
  laws: {
    equalInputs: "rescales rows of the head",
    equalModels: "rescales rows of the head",
    order: "merges one model",
    baseAtZero: "knows no base",
    homogeneous: true,
  },
  models: [1, 1],
  base: "none",
  heights: "equal",
  passes: "many",
  options: {
    old: { type: "number.integer >= 1", required: true, help: "number of old classes: the first rows of the head" },
    head: { type: "string", default: "lm_head.weight", value: "NAME", help: "the head's tensor, one row per class" },
  },

  /** Finds out in time that no tensor has the name of the head. */
  async survey(tensors) {
    expectHead(tensors, tensors[0]?.values.head);
  },

  /** Two passes over the head; the rest is copied. */
  async merge(job) {
    const { old, head } = job.values;
    if (job.name !== head) return takeInput(job, 0);
    if (job.shape.length !== 2 || job.rows <= old) {
      const found = job.shape.length === 2 ? `${job.rows} rows` : `shape (${job.shape.join(", ")})`;
      throw new UserError(
        `${job.name} has ${found}; expected more rows than the ${old} old classes`,
        "--old is the number of classes before the last ones were added",
      );
    }
    const squares = await gramsAlong(job, "rows", false);
    const factor = alignFactor(
      Float64Array.from({ length: job.rows }, (_, row) => squares(row)[0]![0]!),
      old,
    );
    if (!Number.isFinite(factor)) {
      throw new UserError(`${job.name}: the rows from ${old} on are all zero`, "train them before aligning");
    }
    const table = Float32Array.from({ length: job.rows }, (_, row) => (row < old ? 1 : factor));
    const held = job.constants(table, "factors");
    await job.emit(async (chunk, result, out) => {
      await job.run("merge/combine-along", { flags: [...job.flags(), "rows", ...out] }, chunk, {
        bind: { stack: chunk.stack, weights: held, result },
        params: { n: chunk.length, pitch: chunk.pitch, k: 1, first: 0, start: chunk.start, columns: job.columns },
      });
    });
  },
});
