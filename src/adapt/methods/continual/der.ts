/**
 * Dark experience replay: beside every batch of new rows one of old rows, whose logits are held to those that the
 * model gave after their task, L = CE + alpha mean (z - z')^2. The paper keeps logits along the way of one pass; here
 * they are those at the end of the task. From the second task on.
 *
 * Buzzega et al., NeurIPS 2020, https://arxiv.org/abs/2004.07211
 */
import { BUFFER, BUFFER_FROM } from "../../continual/buffer.ts";
import { continualMethod } from "../../continual/contract.ts";
import { darkLearner } from "../../continual/dark-replay.ts";

export const method = continualMethod({
  name: "der",
  title: "Dark experience replay",
  about: "logits of old rows are held to those that the model gave them",
  cite: "arXiv:2004.07211",
  options: {
    ...BUFFER,
    ...BUFFER_FROM,
    alpha: { type: "number >= 0", default: 0.5, help: "weight of the distance of logits" },
  },
  begin: (stream) => darkLearner(stream),
});
