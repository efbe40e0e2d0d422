/** A model that never learnt anything, of the form of another: what forgetting is held against. */
import { hashOf } from "../data/random.ts";
import { Model } from "../model/model.ts";

/** Its weights are drawn by seed, other than those that a training of the seed begins with. It is frozen. */
export function untrainedModel({ gpu, json }: Pick<Model, "gpu" | "json">, seed: number): Promise<Model> {
  const drawn = Number(BigInt.asUintN(32, hashOf("untrained", BigInt(seed))));
  return Model.fresh(gpu, json, "the model without training", { seed: drawn, freeze: () => true });
}
