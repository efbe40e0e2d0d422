/** The mean of all rows: what Hewitt shows keeps new tokens from taking probability from the old ones. */
import { approximation } from "../approximation.ts";

export const method = approximation({
  name: "mean",
  title: "Mean",
  about: "the mean of all rows of the model",
  cite: "https://nlp.stanford.edu/~johnhew/vocab-expansion.html",
  options: {},
  needs: [],
  async rows({ own }) {
    const mean = await own.mean();
    return () => mean;
  },
});
