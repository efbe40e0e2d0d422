/** Every value is larger by the same. Hendrycks and Dietterich, ICLR 2019, for grey values */
import { defineCorruption } from "../corrupting/contract.ts";

export const method = defineCorruption({
  name: "brightness",
  title: "Brightness",
  about: "every value is larger by the same",
  cite: "arXiv:1903.12261",
  amounts: [0.1, 0.2, 0.3, 0.4, 0.5],
  numbers: (x, more) => x.map((value) => value + more),
});
