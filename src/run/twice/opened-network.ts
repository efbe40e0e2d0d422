/** A trained classifier on the host: its form, and its weights as values. */

import type { Checkpoint } from "../../checkpoint/checkpoint.ts";
import { openPlain } from "../../checkpoint/open.ts";
import { configOf, describeConfig } from "../../model/description.ts";
import { type Network, networkOf } from "./network.ts";
import type { Weights } from "./pass.ts";
import { storedWeights } from "./stored-weights.ts";

export interface OpenedNetwork {
  readonly network: Network;
  readonly weights: Weights;
  /** Closed; for lineage. */
  readonly checkpoint: Checkpoint;
}

/** Reads all of it. `wanted` says what asks for it. Throws UserError for a model that tensor/twice does not hold. */
export async function openNetwork(ref: string, wanted: string): Promise<OpenedNetwork> {
  const checkpoint = await openPlain(ref);
  try {
    const network = networkOf(await describeConfig(configOf(checkpoint), ref, undefined, checkpoint), ref, wanted);
    return { network, weights: await storedWeights(network, checkpoint.tensors), checkpoint };
  } finally {
    checkpoint.close();
  }
}
