/**
 * A vote of the k nearest of a queue of past features: the negative log of score_y, where
 *
 *   score_c = min(1, 1e-5 + sum_{j: y_j = c} w_j),  w = softmax(<z, z_j> / T) over the k nearest
 *
 * and T falls in equal steps over the run. It trains what a nearest-neighbour classifier then reads. Zhang et al.,
 * "AdaNPC", ICML 2023, https://arxiv.org/abs/2304.12566. Copies of the row itself do not vote here.
 */
import { defineLabelLoss, noLaws } from "../../../run/training/label-loss.ts";
import { queueLoss } from "../../losses/queue-loss.ts";

export const method = defineLabelLoss({
  name: "knn",
  title: "Vote of the nearest",
  about: "the share that a row's label has in a vote of its nearest in a queue of past features",
  cite: "arXiv:2304.12566",
  laws: noLaws("a loss of features"),
  softens: true,
  remembers: "the features of past rows",
  options: {
    knn_queue: { type: "number.integer >= 1", default: 4096, help: "features that the queue holds", value: "M" },
    knn_neighbours: { type: "number.integer >= 1", default: 50, help: "nearest that vote", value: "K" },
    knn_first: { type: "number > 0", default: 1, help: "divides the cosines at the first step", value: "T" },
    knn_last: { type: "number > 0", default: 0.1, help: "the same at the last step", value: "T" },
  },
  own: (given) =>
    queueLoss(given, {
      flag: "--loss knn",
      queue: given.values.knn_queue,
      neighbours: given.values.knn_neighbours,
      form: "vote",
      temperature: [given.values.knn_first, given.values.knn_last],
    }),
});
