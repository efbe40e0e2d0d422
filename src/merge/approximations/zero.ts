/** Zeros: rows to be trained, or filled by other tools. */
import { approximation } from "../approximation.ts";

export const method = approximation({
  name: "zero",
  title: "Zero",
  about: "zeros, to be trained or filled by other tools",
  cite: "mergekit",
  options: {},
  needs: [],
  async rows({ own }) {
    const zeros = new Float64Array(own.columns);
    return () => zeros;
  },
});
