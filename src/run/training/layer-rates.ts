/**
 * Learning rates that fall from block to block towards the input. Howard and Ruder, ACL 2018,
 * https://arxiv.org/abs/1801.06146 (discriminative fine-tuning, with a ratio of 1 / 2.6), and the layer-wise decay of
 * ELECTRA and of vision transformers.
 */
import { UserError } from "../../errors.ts";
import type { Model } from "../../model/model.ts";
import { isAfterStack, layerOf } from "../../model/names.ts";
import type { Parameter } from "../../tensor/parameter.ts";

/**
 * The rate of a parameter over that of the head: ratio^(L - l) of block l of L, counted from 0, so that the last block
 * has the ratio and embeddings ratio^(L + 1); heads, last norms and whatever is trained beside the model have 1. Throws
 * UserError for a model without blocks.
 */
export function layerRates(ratio: number, model: Model): (parameter: Pick<Parameter, "name">) => number {
  const own = new Set(model.trainable().map(({ name }) => name));
  const indices = [...model.parameters.keys()].flatMap((name) => layerOf(name)?.index ?? []);
  if (indices.length === 0)
    throw new UserError(`--layer-rates: ${model.architecture.name} has no blocks`, "leave it out");
  const blocks = 1 + indices.reduce((a, b) => Math.max(a, b));
  return ({ name }) => {
    const layer = layerOf(name);
    if (layer) return ratio ** (blocks - layer.index);
    return !own.has(name) || isAfterStack(name) ? 1 : ratio ** (blocks + 1);
  };
}
