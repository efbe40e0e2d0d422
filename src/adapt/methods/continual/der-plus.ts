/**
 * DER++: dark experience replay with the labels of old rows too, L = CE + alpha mean (z - z')^2 + beta CE(old), the two
 * terms on batches of their own. From the second task on.
 *
 * Buzzega et al., NeurIPS 2020, https://arxiv.org/abs/2004.07211
 */
import { BUFFER, BUFFER_FROM } from "../../continual/buffer.ts";
import { continualMethod } from "../../continual/contract.ts";
import { darkLearner } from "../../continual/dark-replay.ts";

export const method = continualMethod({
  name: "der-plus",
  title: "DER++",
  about: "logits and labels of old rows",
  cite: "arXiv:2004.07211",
  options: {
    ...BUFFER,
    ...BUFFER_FROM,
    alpha: { type: "number >= 0", default: 0.5, help: "weight of the distance of logits" },
    beta: { type: "number >= 0", default: 0.5, help: "weight of the labels of old rows" },
  },
  begin: (stream) => darkLearner(stream),
});
