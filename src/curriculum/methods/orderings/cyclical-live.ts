/**
 * The cyclical curriculum with scores from the current model before every pass, instead of those at the start. Kesgin
 * and Amasyali 2022, https://arxiv.org/abs/2202.05531; formulas in cycles.ts.
 */
import { defineOrdering } from "../../contract.ts";
import { CYCLICAL } from "../../cycles.ts";

export const method = defineOrdering({
  ...CYCLICAL,
  name: "cyclical-live",
  title: "Cyclical curriculum, self-paced",
  about: "cyclical, by the losses of the current model",
  needs: "live",
});
