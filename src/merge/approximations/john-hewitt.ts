/**
 * Draws from the normal distribution of the model's rows, of their mean and covariance.
 *
 * Hewitt 2021, https://nlp.stanford.edu/~johnhew/vocab-expansion.html. The covariance (C, C) is never made: the mean
 * plus V^-1/2 sum_v z_v (x_v - mean) over all V rows, z standard normal, has it, also where there are fewer rows than
 * columns.
 */
import { Random } from "../../data/random.ts";
import { approximation } from "../approximation.ts";

export const method = approximation({
  name: "john-hewitt",
  title: "Matching distribution",
  about: "draws from the normal distribution that the model's rows have",
  cite: "https://nlp.stanford.edu/~johnhew/vocab-expansion.html",
  options: {},
  needs: [],
  async rows({ own, wanted, key }) {
    const rows = Int32Array.from({ length: own.rows }, (_, row) => row);
    return (place) => {
      const random = new Random(...key, "john-hewitt", wanted[place]!.id);
      const draws = Float64Array.from(rows, () => random.normal() / Math.sqrt(own.rows));
      // sum_v z_v (x_v - mean) + mean, as weights of the rows themselves.
      const left = (1 - draws.reduce((sum, z) => sum + z, 0)) / own.rows;
      return { rows, weights: draws.map((z) => z + left) };
    };
  },
});
