/**
 * Gaussian blobs: points around class means that all lie at the same distance from each other, so that the error of the
 * best possible classifier is one integral.
 *
 * The means are orthogonal directions of length separation / sqrt(2), the covariance std^2 times the identity. The best
 * classifier takes the nearest mean and is right with probability
 *
 *   integral of phi(z) Phi(z + a)^(K - 1) dz,   a = separation / (sqrt(2) std)
 *
 * (orthogonal signalling, Proakis and Salehi, Digital Communications, 5th edition, section 4.4; for two classes it is
 * Phi(separation / 2 std)).
 */
import { UserError } from "../../errors.ts";
import { exp } from "../portable.ts";
import { balancedLabel, Random } from "../random.ts";
import { task } from "../task.ts";

/** The error of the best classifier of K equally likely classes; trapezoids of 1/1000, error below 1e-9. */
export function bayesError(classes: number, separation: number, std: number): number {
  const step = 1e-3;
  const shift = Math.round(separation / Math.SQRT2 / std / step); // in steps; the rest moves the grid of Phi below
  const rest = separation / Math.SQRT2 / std - shift * step;
  const reach = 9;
  const count = Math.round((2 * reach) / step);
  const density = (z: number) => exp((-z * z) / 2) / Math.sqrt(2 * Math.PI);
  // Phi at -reach + rest + k step.
  const cumulative = new Float64Array(count + 1);
  for (let k = 1; k <= count; k++) {
    const z = -reach + rest + k * step;
    cumulative[k] = cumulative[k - 1]! + (step / 6) * (density(z - step) + 4 * density(z - step / 2) + density(z));
  }
  let right = 0;
  for (let k = 0; k <= count; k++) {
    const below = k + shift > count ? 1 : Math.min(1, cumulative[k + shift]!);
    right += step * density(-reach + k * step) * below ** (classes - 1);
  }
  return Math.max(0, 1 - right);
}

/** Orthonormal vectors in random directions, by Gram and Schmidt. */
function directions(random: Random, count: number, dims: number): number[][] {
  const found: number[][] = [];
  while (found.length < count) {
    const vector = Array.from({ length: dims }, () => random.normal());
    for (const other of [...found, ...found]) {
      const along = vector.reduce((sum, x, d) => sum + x * other[d]!, 0); // twice: once loses digits
      for (let d = 0; d < dims; d++) vector[d] = vector[d]! - along * other[d]!;
    }
    const norm = Math.sqrt(vector.reduce((sum, x) => sum + x * x, 0));
    if (norm > 1e-3) found.push(vector.map((x) => x / norm));
  }
  return found;
}

const rounded = (x: number): number => Math.round(x * 1e6) / 1e6 + 0; // 0 for -0, which JSON does not keep

export const method = task({
  name: "blobs",
  title: "Gaussian blobs",
  about: "points around equally distant class means; the error of the best classifier is known",
  cite: "Proakis and Salehi, Digital Communications",
  splits: "independent points around the same means",
  options: {
    classes: { type: "2 <= number.integer <= 256", default: 4, help: "classes, equally frequent" },
    dims: { type: "2 <= number.integer <= 1024", default: 16, help: "values per point, at least one per class" },
    separation: { type: "0 <= number <= 1000", default: 3, help: "distance between any two means" },
    std: { type: "0.001 <= number <= 1000", default: 1, help: "standard deviation of each value around its mean" },
    label_noise: { type: "0 <= number < 1", default: 0, help: "share of labels of train replaced by another class" },
  },

  laws: { apart: true, distinctRows: true, answered: true, endless: true },
  content: ({ x }) => String(x),
  trials: [{}, { label_noise: 0.3, classes: 3, dims: 5 }],

  open({ seed, split }, { classes, dims, separation, std, label_noise }) {
    if (dims < classes)
      throw new UserError(
        `--dims ${dims} cannot hold ${classes} equally distant means`,
        `--dims ${classes} or more can`,
      );
    const means = directions(new Random(seed, "blobs-means", classes, dims), classes, dims).map((direction) =>
      direction.map((x) => (x * separation) / Math.SQRT2),
    );
    return {
      rows: Number.POSITIVE_INFINITY,
      facts: {
        bayes_error: bayesError(classes, separation, std),
        shape: [dims],
        classes,
        label_noise: split === "train" ? label_noise : 0,
        means: means.map((mean) => mean.map(rounded)),
      },
      row(index) {
        const clean = balancedLabel(classes, index, seed, "blobs", split);
        const random = new Random(seed, "blobs", split, index);
        const x = means[clean]!.map((mean) => rounded(mean + std * random.normal()));
        const wrong = split === "train" && random.uniform() < label_noise;
        const label = wrong ? (clean + 1 + random.below(classes - 1)) % classes : clean;
        return label_noise > 0 ? { x, label, clean_label: clean } : { x, label };
      },
    };
  },
});
