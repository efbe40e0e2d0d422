/** Cross-entropy of the rows' own labels or next tokens, as in training. */
import { headLoss } from "../../../tensor/ops/head-loss.ts";
import type { TuneLoss } from "../loss.ts";

export const loss: TuneLoss = {
  needsLabels: true,
  needsExperts: false,
  record: (rec, { hidden, head, width, targets }) => headLoss(rec, { hidden, head, width, targets }),
};
