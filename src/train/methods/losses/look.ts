/**
 * Leave-one-out neighbours: only most of a row's k nearest in a queue of past features have to share its label, so a
 * class may lie in several places. With unit features z and s_ij = <z_i, z_j> / tau, j over the queue without copies of
 * row i itself,
 *
 *   L_i = -log( sum_{j in N_k(i), y_j = y_i} e^{s_ij} / sum_{j in N_k(i)} e^{s_ij} )
 *
 * where the nearest entry of the label joins N_k(i) if none in it has it. The queue's features are those of the weights
 * of their time, and take no gradient. "Rethinking Supervised Pre-training: Leave-One-Out k-NN", 2021.
 */
import { defineLabelLoss, noLaws } from "../../../run/training/label-loss.ts";
import { queueLoss } from "../../losses/queue-loss.ts";

export const method = defineLabelLoss({
  name: "look",
  title: "Leave-one-out neighbours",
  about: "a row's nearest in a queue of past features have its label; a class may lie in several places",
  cite: "Rethinking Supervised Pre-training for Better Downstream Transferring, 2021",
  laws: noLaws("a loss of features"),
  softens: true,
  remembers: "the features of past rows",
  options: {
    look_queue: { type: "number.integer >= 1", default: 4096, help: "features that the queue holds", value: "M" },
    look_neighbours: { type: "number.integer >= 1", default: 200, help: "nearest that count", value: "K" },
    look_temperature: { type: "number > 0", default: 0.1, help: "divides the cosines", value: "TAU" },
  },
  own: (given) =>
    queueLoss(given, {
      flag: "--loss look",
      queue: given.values.look_queue,
      neighbours: given.values.look_neighbours,
      form: "likelihood",
      temperature: [given.values.look_temperature, given.values.look_temperature],
    }),
});
