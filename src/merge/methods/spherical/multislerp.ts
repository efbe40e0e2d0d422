/**
 * Multislerp: the weighted mean of many models' directions, at their weighted mean length.
 *
 * Conventions of mergekit's `multislerp` (https://github.com/arcee-ai/mergekit). Its step along the tangent at the mean
 * direction vanishes in exact arithmetic, because the mean is parallel to the weighted sum, so it is left out here.
 */
import { UserError } from "../../../errors.ts";
import { mergeMethod } from "../../contract.ts";

export const method = mergeMethod({
  name: "multislerp",
  title: "Multislerp",
  about: "mean direction of several models at their mean length",
  cite: "mergekit",
  laws: {
    equalInputs: true,
    equalModels: true,
    order: true,
    baseAtZero: "has no lambda",
    homogeneous: true,
  },
  models: [1, Number.POSITIVE_INFINITY],
  base: "optional",
  heights: "equal",
  passes: "many",
  options: {
    weight: {
      type: "number",
      per: "model",
      required: true,
      help: "share of each model; on the command line 1 if left out",
    },
    normalize_weights: { type: "boolean", default: true, help: "divide the weights by their sum" },
    eps: { type: "number > 0", default: 1e-8, help: "what counts as zero length" },
  },

  /** With a base, its differences from the models are averaged and added back. Two passes. */
  async merge(job) {
    const { weight, normalize_weights, eps } = job.values;
    const sum = weight.reduce((a, b) => a + b, 0);
    if (normalize_weights && sum === 0)
      throw new UserError(
        `${job.name}: the weights sum to 0`,
        "give other weights, or --no-normalize-weights (normalize_weights: false in a recipe)",
      );
    const shares = weight.map((w) => (normalize_weights ? w / sum : w));
    const delta = job.hasBase;
    if (job.count === 1) return job.combine([1], { base: 0 });
    const gram = await job.gram({ delta });
    const norms = gram.map((row, i) => Math.sqrt(row[i]!));
    // The weighted sum of unit vectors is sum_i units[i] x_i.
    const units = shares.map((share, i) => share / (norms[i]! + eps));
    let square = 0;
    for (const [i, row] of gram.entries()) for (const [j, dot] of row.entries()) square += units[i]! * units[j]! * dot;
    const length = Math.sqrt(Math.max(0, square));
    const mean = shares.reduce((total, share, i) => total + share * norms[i]!, 0);
    if (length < eps) {
      if (job.count > 2 && mean >= eps) {
        throw new UserError(`${job.name}: the models' directions cancel out`, "change the weights, or use linear here");
      }
      return job.combine(shares, { delta });
    }
    const coefficients = units.map((unit) => (unit * mean) / length);
    await job.combine(coefficients, { delta });
  },
});
