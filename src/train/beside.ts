/** Layers that are trained beside a model and left out of the result. */
import type { Gpu } from "../gpu/gpu.ts";
import { keyedNormals } from "../keyed-random.ts";
import { linear } from "../tensor/ops/linear.ts";
import { Parameter } from "../tensor/parameter.ts";
import type { Recorder } from "../tensor/recorder.ts";
import type { Tensor } from "../tensor/tensor.ts";

export interface Layer {
  readonly weight: Parameter;
  readonly bias: Parameter;
}

/** A layer drawn by (seed, name), with the variance that rectifiers keep; or all zero. */
export function layerBeside(
  gpu: Gpu,
  name: string,
  [into, out]: readonly [number, number],
  begins: { readonly seed: number } | "zero",
): Layer {
  const weight = new Parameter(gpu, `${name}.weight`, [out, into]);
  const bias = new Parameter(gpu, `${name}.bias`, [out]);
  const values =
    begins === "zero"
      ? new Float32Array(out * into)
      : keyedNormals(out * into, Math.sqrt(2 / into), begins.seed, weight.name);
  weight.write(values);
  bias.write(new Float32Array(out));
  return { weight, bias };
}

/** x (B, in) -> (B, out) */
export const through = (rec: Recorder, x: Tensor, { weight, bias }: Layer): Tensor =>
  linear(rec, x, rec.parameter(weight), { bias: rec.parameter(bias) });

export const parametersOf = (layers: readonly Layer[]): Parameter[] =>
  layers.flatMap(({ weight, bias }) => [weight, bias]);
