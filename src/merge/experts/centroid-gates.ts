/** Rows of routers from clusters of what each layer reads on rows of data; see run/spherical-clusters.ts. */
import type { TokenBatch } from "../../data/batch.ts";
import { UserError } from "../../errors.ts";
import type { Model } from "../../model/model.ts";
import { sphericalClusters } from "../../run/spherical-clusters.ts";
import { type LayerInput, tokenInputs } from "../../run/tracing/layer-inputs.ts";
import type { Gates } from "./gates.ts";

/** States that are held at a time, in bytes; of so many layers the rows are read in one pass. */
const HELD_BYTES = 256 * 2 ** 20;

export interface CentroidOptions {
  readonly experts: number;
  readonly input: LayerInput;
  /** Most tokens that are clustered. */
  readonly most: number;
  readonly seed: number;
  readonly signal: AbortSignal;
}

/** Clusters every layer's inputs. Throws UserError where there are fewer tokens than experts. */
export async function centroidGates(
  model: Model,
  batches: readonly TokenBatch[],
  { experts, input, most, seed, signal }: CentroidOptions,
): Promise<Gates> {
  const { layers, width } = model.sizes;
  const tokens = batches.reduce((sum, { lengths }) => sum + lengths.reduce((all, length) => all + length, 0), 0);
  const count = Math.min(tokens, most);
  if (count < experts)
    throw new UserError(
      `${count} tokens of --calib make no ${experts} clusters`,
      "give more rows, or raise --calib-tokens",
    );
  const atOnce = Math.max(1, Math.floor(HELD_BYTES / (4 * count * width)));
  const gates: Float32Array[] = [];
  for (let first = 0; first < layers; first += atOnce) {
    const some = Array.from({ length: Math.min(atOnce, layers - first) }, (_, i) => first + i);
    const inputs = await tokenInputs(model, batches, { input, layers: some, most: count, signal });
    for (const layer of some) {
      signal.throwIfAborted();
      gates.push(sphericalClusters(inputs.get(layer)!, { experts, width, key: [seed, layer] }).centroids);
    }
  }
  return gates;
}

/** Bytes of the host that clustering holds. */
export const centroidBytes = (tokens: number, width: number): number => Math.max(HELD_BYTES, 4 * tokens * width);
