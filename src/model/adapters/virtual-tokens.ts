/** What adapters of virtual tokens share: their count, what models they are for, and the keys of PEFT's config. */
import { UserError } from "../../errors.ts";
import type { JsonObject } from "../../json.ts";
import type { ModelSizes } from "../architecture.ts";

export const VIRTUAL_TOKENS = {
  type: "number.integer >= 1",
  default: 20,
  help: "virtual tokens before every sequence",
  value: "N",
} as const;

/** The sizes of a model that can have tokens before its sequences. Throws UserError for another. */
export function sizesAhead(
  tokens: number,
  sizes: ModelSizes | undefined,
  where: string,
): ModelSizes & Required<Pick<ModelSizes, "attention">> {
  const { attention } = sizes ?? {};
  if (!sizes || !attention || sizes.recurrent)
    throw new UserError(
      `${where}: virtual tokens are for causal language models whose layers all attend to earlier tokens by heads`,
      "take an adapter of linear layers, such as lora",
    );
  if (sizes.turnsAnewBeyond !== undefined)
    throw new UserError(
      `${where}: this model turns the positions of longer sequences anew, and virtual tokens have no sequence`,
      "take an adapter of linear layers, such as lora",
    );
  if (tokens >= sizes.maxPositions)
    throw new UserError(
      `${where}: ${tokens} virtual tokens leave no room in the ${sizes.maxPositions} positions of the model`,
      "take fewer",
    );
  return { ...sizes, attention };
}

/** Keys of PEFT's config: `width` and `heads` are those of a token. */
export const configAhead = (layers: number, width: number, heads: number) => ({
  num_attention_heads: heads,
  num_layers: layers,
  num_transformer_submodules: 1,
  token_dim: width,
  // PEFT's configs of these types know neither.
  modules_to_save: undefined,
  target_modules: undefined,
});

/** Throws UserError for a file of an encoder with a decoder. */
export function checkAhead({ num_transformer_submodules: parts }: JsonObject, where: string): void {
  if (parts !== undefined && parts !== null && parts !== 1)
    throw new UserError(
      `${where}: adapter_config.json: num_transformer_submodules is ${JSON.stringify(parts)}, expected 1`,
      "it was trained on an encoder with a decoder",
    );
}
