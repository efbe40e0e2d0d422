/**
 * Consistency training: a denoiser learns to say the same of a row under two neighbouring levels of the same noise, so
 * that in the end it goes from noise alone to a row in one step.
 *
 *   lambda(sigma_i) d( D(x + sigma_{i+1} z, sigma_{i+1}), sg D(x + sigma_i z, sigma_i) )
 *
 *   lambda = 1 / (sigma_{i+1} - sigma_i)      d(a, b) = sqrt(|a - b|^2 + c^2) - c,  c = 0.00054 sqrt(values)
 *
 * The grid has N(k) levels, twice as many after every stretch of the steps, and i is drawn so that log sigma is about
 * normal (run/denoising/consistency.ts). The weights of the target are those that learn, as they are; `--ict-ema` and
 * `--ict-metric l2` are what the paper left behind. Song and Dhariwal, "Improved Techniques for Training Consistency
 * Models", ICLR 2024, https://arxiv.org/abs/2310.14189. Dropout and rectified Adam of the paper are not a part of it.
 */

import { UserError } from "../../../errors.ts";
import { apart, intervalLaw, levelsAt } from "../../../run/denoising/consistency.ts";
import { normals, StepDraws, withNoise } from "../../../run/denoising/draws.ts";
import { levelGrid } from "../../../run/denoising/levels.ts";
import { denoised, fillLevels, noiseSizes, recordLevels, valuesOf } from "../../../run/denoising/noised.ts";
import { defineLabelLoss, noLaws } from "../../../run/training/label-loss.ts";
import { ofBatch } from "../../../run/training/objective.ts";
import { stopGradient } from "../../../tensor/ops/elementwise.ts";
import { dot } from "../../../tensor/ops/reduce.ts";
import { droppedLabels, LABEL_DROP, numbersOf, rowShares } from "../../losses/denoising.ts";
import { TargetAverage } from "../../losses/target-average.ts";

export const method = defineLabelLoss({
  name: "ict",
  title: "Improved consistency training",
  about: "of denoisers: the same answer under neighbouring levels of noise; a generator of one step",
  cite: "arXiv:2310.14189",
  laws: noLaws("it is of denoisers"),
  denoises: true,
  options: {
    ict_first: { type: "number.integer >= 1", default: 10, help: "intervals of levels at first, s_0", value: "N" },
    ict_most: { type: "number.integer >= 1", default: 1280, help: "intervals at most, s_1", value: "N" },
    ict_mean: { type: "number", default: -1.1, help: "mean of the logarithm of levels", value: "M" },
    ict_std: { type: "number > 0", default: 2, help: "its standard deviation", value: "S" },
    ict_metric: { type: "'pseudo-huber' | 'l2'", default: "pseudo-huber", help: "how far two answers are apart" },
    ict_c: { type: "number > 0", help: "c of pseudo-huber; 0.00054 sqrt(values of a row) when left out", value: "C" },
    ict_ema: {
      type: "0 <= number < 1",
      default: 0,
      help: "decay of an average of the weights that gives the targets; 0: the weights themselves",
      value: "DECAY",
    },
    ict_drop: LABEL_DROP,
  },
  check({ ict_first: first, ict_most: most }) {
    if (most < first)
      throw new UserError(`--ict-most ${most} is below --ict-first ${first}`, "give at least as many intervals");
  },
  own({ model, values, seed, steps }) {
    const { ict_metric: metric, ict_c: c, ict_drop: drop, ict_ema: decay } = values;
    const noise = noiseSizes(model);
    const width = valuesOf(model);
    const hasClasses = model.sizes.outputs > 0;
    const draws = new StepDraws(seed, "ict");
    const target = decay > 0 ? new TargetAverage(model, decay) : undefined;
    let grid: readonly number[] = [];
    let law: readonly number[] = [];
    const levels = (step: number) => {
      const count = levelsAt(step - 1, steps, { least: values.ict_first, most: values.ict_most });
      if (count === grid.length) return;
      grid = levelGrid(count, noise);
      law = intervalLaw(grid, { mean: values.ict_mean, std: values.ict_std });
    };
    return {
      updates: target ? [target] : [],
      objective: {
        name: "ict",
        ...ofBatch((batch) => batch),
        begin(step) {
          draws.begin(step);
          levels(step);
        },

        record(rec, { rows }) {
          if (!rec.training) rec.input("held out", [1]); // whose noise is always the same
          const classes = hasClasses ? rec.input("classes", [rows], "i32") : undefined;
          const say = (name: string) =>
            denoised(rec, model, {
              x: rec.input(`${name} rows`, [rows, width]),
              noise: recordLevels(rec, model, { rows, name, classes }),
            });
          const above = say("above");
          const below = rec.standingIn(target?.standIns ?? new Map(), () => say("below"));
          const losses = apart(rec, [above, stopGradient(rec, below)], { metric, c });
          const weights = rec.input("weights", [rows]);
          return { backward: [[losses, weights]], metrics: { loss: dot(rec, losses, weights) } };
        },

        fill(program, batch, total) {
          const given = numbersOf(batch);
          const random = program.takes("held out") ? draws.fixed(given.places) : draws.next();
          const places = Array.from({ length: given.rows }, () => random.weighted(law));
          if (hasClasses) program.write("classes", droppedLabels(given, model, drop, random));
          const z = normals(random, given.x.length);
          for (const [name, by] of [
            ["below", 0],
            ["above", 1],
          ] as const) {
            const sigmas = places.map((place) => grid[place + by]!);
            program.write(`${name} rows`, withNoise(given.x, z, sigmas, width));
            fillLevels(program, model, name, sigmas);
          }
          const shares = rowShares(given, total);
          program.write(
            "weights",
            shares.map((share, row) => share / (grid[places[row]! + 1]! - grid[places[row]!]!)),
          );
        },
      },
    };
  },
});
