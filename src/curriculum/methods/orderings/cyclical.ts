/**
 * Cyclical curriculum: the share of the rows in a pass rises and falls, and rows are drawn without replacement with
 * probability in proportion to a score from their losses at the start. Kesgin and Amasyali 2022,
 * https://arxiv.org/abs/2202.05531; formulas in cycles.ts.
 */
import { defineOrdering } from "../../contract.ts";
import { CYCLICAL } from "../../cycles.ts";

export const method = defineOrdering({
  ...CYCLICAL,
  name: "cyclical",
  title: "Cyclical curriculum",
  about: "passes over more and fewer rows in turn, easy ones likelier",
  needs: "scores",
});
