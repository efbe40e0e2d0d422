/**
 * Norm realignment: every row of a head at a length of one's own choice: all alike, which takes back what frequent
 * classes gained, or those of another model's head, whose rows are as long as its own classes are frequent.
 *
 * Xiao et al., "FedLoGe: Joint Local and Generic Federated Learning under Long-tailed Data", ICLR 2024,
 * https://arxiv.org/abs/2401.08977. Row c becomes L g_c / |g_c|, or |h_c| g_c / |g_c| with a second model's head h.
 * All other tensors are those of the first model, the bias too: L is the mean length of all rows where it is not given,
 * so that the bias keeps its share (the authors, whose heads have none, take 1.7).
 */
import { UserError } from "../../../errors.ts";
import { mergeMethod } from "../../contract.ts";
import { combineAlong, gramsAlong } from "../../job/along-axis.ts";
import { takeInput } from "../../updates/add-task-vectors.ts";
import { expectHead } from "../../updates/head-rows.ts";

export const method = mergeMethod({
  name: "norm_realign",
  title: "Norm realignment",
  about: "give every row of a head one length, or that of the same row of a second model's head",
  cite: "arXiv:2401.08977",
  laws: {
    equalInputs: "rescales rows of the head",
    equalModels: "rescales rows of the head",
    order: "the first model gives all but lengths",
    baseAtZero: "knows no base",
    homogeneous: "lengths are given",
  },
  models: [1, 2],
  base: "none",
  heights: "equal",
  passes: "many",
  options: {
    head: { type: "string", default: "lm_head.weight", value: "NAME", help: "the head's tensor, one row per class" },
    row_length: {
      type: "number > 0",
      help: "of every row, where no second model gives lengths; the mean of all rows when left out",
    },
  },

  /** Finds out in time that no tensor has the name of the head. */
  async survey(tensors) {
    expectHead(tensors, tensors[0]?.values.head);
  },

  /** Three passes over the head; the rest is copied. */
  async merge(job) {
    const { head, row_length: given } = job.values;
    if (job.name !== head) return takeInput(job, 0);
    if (job.shape.length !== 2)
      throw new UserError(
        `${job.name} is (${job.shape.join(", ")}), and a head is a matrix`,
        "name the head with --head",
      );
    const grams = await gramsAlong(job, "rows", false);
    const lengths = Array.from({ length: job.rows }, (_, row) => Math.sqrt(grams(row)[0]![0]!));
    const alike = given ?? lengths.reduce((a, b) => a + b, 0) / lengths.length;
    await combineAlong(job, "rows", false, ([own, other]) => {
      const length = Math.sqrt(own![0]!);
      if (length === 0) throw new UserError(`${job.name} has a row of zeros, which has no direction`, "train it first");
      return other ? [Math.sqrt(other[1]!) / length, 0] : [alike / length];
    });
  },
});
