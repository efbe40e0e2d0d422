/** Some values become the least or the largest there is. Hendrycks and Dietterich, ICLR 2019 */
import { defineCorruption } from "../corrupting/contract.ts";

export const method = defineCorruption({
  name: "impulse-noise",
  title: "Impulse noise",
  about: "some values become the least or the largest there is",
  cite: "arXiv:1903.12261",
  amounts: [0.03, 0.06, 0.09, 0.17, 0.27],
  numbers: (x, share, random) =>
    x.map((value) => {
      const [hit, side] = [random.uniform(), random.uniform()];
      return hit < share ? Number(side < 0.5) : value;
    }),
});
