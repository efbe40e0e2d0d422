/**
 * Conservative DPO: preferences are taken to be the wrong way round with a probability, so that the margin has an
 * optimum: (1 - e) (-log sigmoid(beta delta)) + e (-log sigmoid(-beta delta)). Mitchell 2023,
 * https://ericmitchell.ai/cdpo.pdf
 */
import { add, logSigmoid, scale, sub } from "../../../tensor/ops/elementwise.ts";
import { definePairLoss, LABEL_SMOOTHING } from "../../preferences/pair-loss.ts";

export const method = definePairLoss({
  name: "cdpo",
  title: "Conservative DPO",
  about: "the sigmoid loss where a share of labels is taken to be wrong",
  cite: "https://ericmitchell.ai/cdpo.pdf",
  options: { label_smoothing: LABEL_SMOOTHING(0.1) },
  loss(rec, { chosen, rejected, beta, values: { label_smoothing: e } }) {
    const margin = scale(rec, sub(rec, chosen.score, rejected.score), beta);
    const right = scale(rec, logSigmoid(rec, margin), e - 1);
    return add(rec, right, scale(rec, logSigmoid(rec, scale(rec, margin, -1)), -e));
  },
});
