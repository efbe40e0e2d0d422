/**
 * Denoising: noise of a level that is drawn anew is added to every row, and the model says what the row was.
 *
 *   (sigma^2 + d^2) / (sigma d)^2  mean over values of (D(x + sigma z, sigma) - x)^2,   log sigma ~ N(mean, std^2)
 *
 * d is the standard deviation of rows by config.json. Karras et al., NeurIPS 2022, https://arxiv.org/abs/2206.00364,
 * table 1. Levels outside of --denoise-low and --denoise-high, or the model's own, are drawn again: experts of
 * intervals of noise, after PanGu-Draw 2023, https://arxiv.org/abs/2312.16486.
 */

import type { Random } from "../../../data/random.ts";
import { UserError } from "../../../errors.ts";
import { normals, StepDraws, withNoise } from "../../../run/denoising/draws.ts";
import { denoised, fillLevels, noiseSizes, recordLevels, valuesOf } from "../../../run/denoising/noised.ts";
import { defineLabelLoss, noLaws } from "../../../run/training/label-loss.ts";
import { ofBatch } from "../../../run/training/objective.ts";
import { square, sub } from "../../../tensor/ops/elementwise.ts";
import { dot, rowSum } from "../../../tensor/ops/reduce.ts";
import { droppedLabels, LABEL_DROP, numbersOf, rowShares } from "../../losses/denoising.ts";

/** Draws in vain after which a level is drawn evenly in its logarithm: the interval is far from the mean. */
const TRIES = 64;

/** A level of an interval. */
function drawnLevel(
  random: Random,
  { mean, std, low, high }: Readonly<Record<"mean" | "std" | "low" | "high", number>>,
): number {
  for (let i = 0; i < TRIES; i++) {
    const level = Math.exp(mean + std * random.normal());
    if (level >= low && level <= high) return level;
  }
  return low * (high / low) ** random.uniform();
}

export const method = defineLabelLoss({
  name: "denoise",
  title: "Denoising",
  about: "of denoisers: what a row was under noise of a level that is drawn",
  cite: "arXiv:2206.00364",
  laws: noLaws("it is of denoisers"),
  denoises: true,
  options: {
    denoise_mean: { type: "number", default: -1.2, help: "mean of the logarithm of levels", value: "M" },
    denoise_std: { type: "number > 0", default: 1.2, help: "its standard deviation", value: "S" },
    denoise_low: { type: "number > 0", help: "least level; the model's own when left out", value: "SIGMA" },
    denoise_high: { type: "number > 0", help: "largest level; the model's own when left out", value: "SIGMA" },
    denoise_drop: LABEL_DROP,
  },
  check({ denoise_low: low, denoise_high: high }) {
    if (low !== undefined && high !== undefined && low >= high)
      throw new UserError(`--denoise-low ${low} is not below --denoise-high ${high}`, "give an interval of levels");
  },
  own({ model, values, seed }) {
    const { denoise_mean: mean, denoise_std: std, denoise_drop: drop } = values;
    const noise = noiseSizes(model);
    const low = Math.max(noise.low, values.denoise_low ?? 0);
    const high = Math.min(noise.high, values.denoise_high ?? noise.high);
    const width = valuesOf(model);
    const hasClasses = model.sizes.outputs > 0;
    const draws = new StepDraws(seed, "denoise");
    return {
      objective: {
        name: "denoise",
        ...ofBatch((batch) => batch),
        begin: (step) => draws.begin(step),

        record(rec, { rows }) {
          // Held-out rows always get the same noise.
          if (!rec.training) rec.input("held out", [1]);
          const classes = hasClasses ? rec.input("classes", [rows], "i32") : undefined;
          const x = rec.input("noisy", [rows, width]);
          const said = denoised(rec, model, { x, noise: recordLevels(rec, model, { rows, name: "level", classes }) });
          const losses = rowSum(rec, square(rec, sub(rec, said, rec.input("rows", [rows, width]))), 1 / width);
          const weights = rec.input("weights", [rows]);
          return { backward: [[losses, weights]], metrics: { loss: dot(rec, losses, weights) } };
        },

        fill(program, batch, total) {
          const given = numbersOf(batch);
          const random = program.takes("held out") ? draws.fixed(given.places) : draws.next();
          const sigmas = Float64Array.from({ length: given.rows }, () => drawnLevel(random, { mean, std, low, high }));
          if (hasClasses) program.write("classes", droppedLabels(given, model, drop, random));
          program.write("rows", given.x);
          program.write("noisy", withNoise(given.x, normals(random, given.x.length), sigmas, width));
          fillLevels(program, model, "level", sigmas);
          const shares = rowShares(given, total);
          program.write(
            "weights",
            shares.map(
              (share, row) => (share * (sigmas[row]! ** 2 + noise.data ** 2)) / (sigmas[row]! * noise.data) ** 2,
            ),
          );
        },
      },
    };
  },
});
