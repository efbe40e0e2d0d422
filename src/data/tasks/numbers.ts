/**
 * Numbers to predict: a linear map of the values with a wave along another direction, and noise, so that the least mean
 * squared error is known.
 *
 *   y_k = <a_k, x> + waves sin(<b_k, x>) + noise n_k,   x ~ N(0, I),   a_k, b_k / 1.5 ~ N(0, I / dims)
 *
 * The form is that of Friedman's and of scikit-learn's make_regression with a part that no linear model learns.
 */
import { exp, sin } from "../portable.ts";
import { Random } from "../random.ts";
import { task } from "../task.ts";

const rounded = (x: number): number => Math.round(x * 1e6) / 1e6 + 0; // 0 for -0, which JSON does not keep

const along = (direction: readonly number[], x: readonly number[]): number =>
  direction.reduce((sum, a, d) => sum + a * x[d]!, 0);

export const method = task({
  name: "numbers",
  title: "Numbers to predict",
  about: "values and numbers that follow from them by a linear map, a wave and noise; the least error is known",
  cite: "common practice",
  splits: "independent values under the same map",
  options: {
    dims: { type: "1 <= number.integer <= 1024", default: 8, help: "values per row" },
    outputs: { type: "1 <= number.integer <= 64", default: 1, help: "numbers to predict" },
    waves: { type: "0 <= number <= 1000", default: 1, help: "size of the wave; 0: the map is linear" },
    noise: { type: "0 <= number <= 1000", default: 0.1, help: "standard deviation of what no model can tell" },
  },

  laws: { apart: true, distinctRows: true, answered: true, endless: true },
  content: ({ x }) => String(x),
  trials: [{}, { outputs: 3, dims: 2, waves: 0 }],

  open({ seed, split }, { dims, outputs, waves, noise }) {
    const maps = Array.from({ length: outputs }, (_, k) => {
      const random = new Random(seed, "numbers-maps", dims, k);
      const direction = () => Array.from({ length: dims }, () => random.normal() / Math.sqrt(dims));
      return { line: direction(), wave: direction().map((b) => 1.5 * b) };
    });
    // sin(b x) of x ~ N(0, I) has the variance (1 - exp(-2 |b|^2)) / 2.
    const spread = maps.map(
      ({ line, wave }) =>
        along(line, line) +
        (waves ** 2 * (1 - exp(-2 * along(wave, wave)))) / 2 +
        2 * waves * along(line, wave) * exp(-along(wave, wave) / 2) +
        noise ** 2,
    );
    return {
      rows: Number.POSITIVE_INFINITY,
      facts: { least_mse: rounded(noise ** 2), variance: spread.map(rounded), shape: [dims], outputs },
      row(index) {
        const random = new Random(seed, "numbers", split, index);
        const x = Array.from({ length: dims }, () => rounded(random.normal()));
        const y = maps.map(({ line, wave }) =>
          rounded(along(line, x) + waves * sin(along(wave, x)) + noise * random.normal()),
        );
        return { x, y: outputs === 1 ? y[0]! : y };
      },
    };
  },
});
