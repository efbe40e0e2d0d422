/** Normal noise added to every value: electronics in little light. Hendrycks and Dietterich, ICLR 2019 */
import { defineCorruption } from "../corrupting/contract.ts";

export const method = defineCorruption({
  name: "gaussian-noise",
  title: "Gaussian noise",
  about: "normal noise added to every value",
  cite: "arXiv:1903.12261",
  amounts: [0.08, 0.12, 0.18, 0.26, 0.38],
  numbers: (x, deviation, random) => x.map((value) => value + deviation * random.normal()),
});
