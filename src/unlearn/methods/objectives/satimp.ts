/** SatImp: ascent weighted by p^b1 (1 - p)^b2. Yang et al. 2025, https://arxiv.org/abs/2505.11953 */
import { satimp } from "../../../tensor/ops/sequence-loss.ts";
import { defineObjective } from "../../contract.ts";

export const method = defineObjective({
  name: "satimp",
  title: "Saturation and importance",
  about: "climbs the loss, weighted to tokens that are likely yet not certain",
  cite: "arXiv:2505.11953",
  weights: { forget: 0.1, retain: 1 },
  options: {
    b1: { type: "number >= 0", default: 5, help: "power of p" },
    b2: { type: "number >= 0", default: 1, help: "power of 1 - p; 0: WGA" },
  },
  sequences: (rec, { nll, values: { b1, b2 } }) => satimp(rec, nll, b1, b2),
});
