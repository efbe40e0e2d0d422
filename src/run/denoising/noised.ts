/** A denoiser in a recording: what it is told of its rows' noise and classes, and what it says the rows were. */

import type { Model } from "../../model/model.ts";
import type { NoiseInputs, NoiseSizes } from "../../model/noise.ts";
import type { RecordOptions } from "../../model/record-options.ts";
import type { Program } from "../../tensor/program.ts";
import type { Recorder } from "../../tensor/recorder.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { levelColumns } from "./levels.ts";

/** How a denoiser is told of noise. Throws TypeError for another model. */
export function noiseSizes({ sizes, architecture }: Pick<Model, "sizes" | "architecture">): NoiseSizes {
  if (sizes.noise) return sizes.noise;
  throw new TypeError(`a ${architecture.name} is no denoiser`);
}

/** Numbers of a row of a denoiser. */
export const valuesOf = ({ sizes: { example = [] } }: Pick<Model, "sizes">): number =>
  example.reduce((all, side) => all * side, 1);

/** Declares the levels of so many rows under a name. `classes` (rows) i32 are those of a model that has some. */
export function recordLevels(
  rec: Recorder,
  model: Pick<Model, "sizes" | "architecture">,
  { rows, name, classes }: { readonly rows: number; readonly name: string; readonly classes?: Tensor | undefined },
): NoiseInputs {
  const column = (what: string) => rec.input(`${name} ${what}`, [rows, 1]);
  return {
    features: rec.input(`${name} features`, [rows, 2 * noiseSizes(model).frequencies]),
    into: column("into"),
    skip: column("skip"),
    out: column("out"),
    classes,
  };
}

/** Fills what `recordLevels` declared. */
export function fillLevels(
  program: Program,
  model: Pick<Model, "sizes" | "architecture">,
  name: string,
  sigmas: ArrayLike<number>,
): void {
  for (const [what, values] of Object.entries(levelColumns(sigmas, noiseSizes(model))))
    program.write(`${name} ${what}`, values);
}

/** One level of all rows, which does not change. */
export function fixedLevel(
  rec: Recorder,
  model: Pick<Model, "sizes" | "architecture">,
  sigma: number,
  classes?: Tensor,
): NoiseInputs {
  const { features, into, skip, out } = levelColumns([sigma], noiseSizes(model));
  const constant = (what: string, values: Float32Array) => rec.constant(values, [1, values.length], what);
  return {
    features: constant("features of a level", features),
    into: constant("c_in", into),
    skip: constant("c_skip", skip),
    out: constant("c_out", out),
    classes,
  };
}

/** What the rows x (B, D) were, as the model says: (B, D). */
export function denoised(
  rec: Recorder,
  model: Model,
  { x, noise, control }: { readonly x: Tensor; readonly noise: NoiseInputs; readonly control?: Tensor | undefined },
  options: RecordOptions = {},
): Tensor {
  const inputs = { batch: x.shape[0] ?? 0, x, noise, ...(control ? { control } : {}) };
  const { hidden, head } = model.record(rec, inputs, options);
  return head(hidden);
}
