/**
 * InfoNCE of pairs of texts: which text of the batch belongs to the first. The merged model is read as an embedder, so
 * this is the cross-entropy of what compares the texts. van den Oord et al. 2018, https://arxiv.org/abs/1807.03748
 */
import { headLoss } from "../../../tensor/ops/head-loss.ts";
import type { TuneLoss } from "../loss.ts";

export const loss: TuneLoss = {
  needsLabels: true,
  needsPairs: true,
  needsExperts: false,
  record: (rec, { hidden, head, width, targets }) => headLoss(rec, { hidden, head, width, targets }),
};
