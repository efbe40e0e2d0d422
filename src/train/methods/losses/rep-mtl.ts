/**
 * Rep-MTL: the mean squared error of a regressor's outputs, each a task of its own on features that all share, and two
 * regularisers of how the tasks use them (train/losses/saliency.ts).
 *
 *   L = mean_t mean_b e_tb^2 + tsr entropy + csa alignment
 *
 * "Rep-MTL: Unleashing the Power of Representation-level Task Saliency for Multi-Task Learning", ICCV 2025,
 * https://arxiv.org/abs/2507.21049. With both weights 0, or one output, it is mse, bit for bit.
 */
import { UserError } from "../../../errors.ts";
import { defineLabelLoss, noLaws } from "../../../run/training/label-loss.ts";
import { saliencyObjective } from "../../losses/saliency-objective.ts";

export const method = defineLabelLoss({
  name: "rep-mtl",
  title: "Task saliency",
  about: "of numbers, each a task: the squared error, and how tasks share the features that they are read from",
  cite: "arXiv:2507.21049",
  laws: noLaws("it is of numbers"),
  options: {
    rep_tsr: {
      type: "number >= 0",
      default: 0.1,
      help: "weight of the entropy over tasks of each feature's saliency",
      value: "L",
    },
    rep_csa: {
      type: "number >= 0",
      default: 0.1,
      help: "weight of the alignment of a row's saliencies across tasks",
      value: "L",
    },
    rep_temperature: { type: "number > 0", default: 0.5, help: "divides the cosines of saliencies", value: "TAU" },
  },
  whole: true,
  own({ model, values: { rep_tsr: tsr, rep_csa: csa, rep_temperature: tau } }) {
    if (model.task !== "regressor")
      throw new UserError(
        "--loss rep-mtl is for models that predict numbers, each a task (problem_type regression)",
        "bun run train --init CONFIG --data ROWS with rows of x and y",
      );
    const head = model.parameters.get("classifier.weight");
    if (head?.shape.length !== 2)
      throw new UserError(`--loss rep-mtl reads a linear head, and this ${model.architecture.name} has none`);
    return { objective: saliencyObjective(model, head, { tsr, csa, tau }) };
  },
});
