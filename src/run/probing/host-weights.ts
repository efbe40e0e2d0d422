/** All trained weights of a model on the host, and how far two sets of them are apart. */
import type { Model } from "../../model/model.ts";
import type { Parameter } from "../../tensor/parameter.ts";

/** Values of trained parameters on the host. */
export type Weights = ReadonlyMap<Parameter, Float32Array>;

/** Brings all trained weights to the host. */
export async function readWeights(model: Model): Promise<Weights> {
  const found = new Map<Parameter, Float32Array>();
  for (const parameter of model.trainable())
    found.set(parameter, await model.gpu.readFloats(parameter.buffer, parameter.size));
  return found;
}

/** Puts weights in their place. */
export function putWeights(model: Model, weights: Weights): void {
  for (const [parameter, values] of weights)
    model.gpu.write(parameter.buffer, 0, new Uint8Array(values.buffer, values.byteOffset, values.byteLength));
}

/** Sums of squared differences, parameter by parameter, in f64. */
export const squaredDistances = (a: Weights, b: Weights): Map<Parameter, number> =>
  new Map(
    [...a].map(([parameter, values]) => {
      const others = b.get(parameter)!;
      return [parameter, values.reduce((sum, x, i) => sum + (x - others[i]!) ** 2, 0)] as const;
    }),
  );
