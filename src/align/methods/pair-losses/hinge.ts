/**
 * max(0, 1 - beta delta): no more is asked of a pair than a margin of 1. The ranking loss of SLiC, on gains over the
 * reference as RSO has it. Liu et al. 2023, https://arxiv.org/abs/2309.06657
 */
import { relu } from "../../../tensor/ops/activation.ts";
import { addScalar, scale, sub } from "../../../tensor/ops/elementwise.ts";
import { definePairLoss } from "../../preferences/pair-loss.ts";

export const method = definePairLoss({
  name: "hinge",
  title: "Hinge",
  about: "ask for a margin of 1 and no more",
  cite: "arXiv:2309.06657",
  options: {},
  loss: (rec, { chosen, rejected, beta }) =>
    relu(rec, addScalar(rec, scale(rec, sub(rec, chosen.score, rejected.score), -beta), 1)),
});
