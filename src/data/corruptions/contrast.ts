/** Differences from the mean of a row shrink. Hendrycks and Dietterich, ICLR 2019 */
import { defineCorruption } from "../corrupting/contract.ts";

export const method = defineCorruption({
  name: "contrast",
  title: "Contrast",
  about: "differences from a row's mean shrink",
  cite: "arXiv:1903.12261",
  amounts: [0.4, 0.3, 0.2, 0.1, 0.05],
  numbers(x, factor) {
    const mean = x.reduce((sum, value) => sum + value, 0) / x.length;
    return x.map((value) => mean + factor * (value - mean));
  },
});
