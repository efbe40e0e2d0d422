/** What config.json says of blocks by their numbers, where these change. */
import { UserError } from "../../errors.ts";
import { type Config, configValue } from "../names.ts";

interface Named {
  readonly ref: string;
  readonly config: Config | undefined;
}

/** Numbers that say by a rule what a block is, unless a list says it block by block. */
const BY_NUMBER = ["sliding_window_pattern", "no_rope_layer_interval", "full_attention_interval"];
const LISTS = ["layer_types", "layers_block_type", "no_rope_layers"];

/** Architectures whose blocks differ by their number where config.json has no list of them; some with windows alone. */
const MIXED = /^(olmo3|cohere2|gemma|smollm3|gpt_oss|qwen3_next|qwen3_5)/;
const MIXED_WINDOWS = /^(exaone4|ministral)/;

/** Throws UserError where config.json says what a block is by its number alone. */
export function refuseNumbered({ ref, config }: Named, method: string): void {
  if (LISTS.some((key) => Array.isArray(configValue(config, key)))) return;
  const type = String(configValue(config, "model_type"));
  const windows = configValue(config, "use_sliding_window") === true ? ["max_window_layers"] : [];
  const rule = [...BY_NUMBER, ...windows].find((key) => typeof configValue(config, key) === "number");
  const isMixed =
    MIXED.test(type) || (MIXED_WINDOWS.test(type) && typeof configValue(config, "sliding_window") === "number");
  if (rule === undefined && !isMixed) return;
  throw new UserError(
    `${rule ?? `model_type ${type}`} of ${ref} says by its number what a block is, and ${method} numbers blocks anew`,
    "write layer_types with an entry per block into its config.json, as newer versions of transformers do",
  );
}

/** Fields that name blocks by their numbers, for blocks in another order. */
export function renumbered(
  { ref, config }: Named,
  origins: readonly number[],
  method: string,
): Record<string, unknown> {
  const fields: Record<string, unknown> = {};
  const dense = configValue(config, "mlp_only_layers");
  if (Array.isArray(dense)) fields.mlp_only_layers = [...origins.keys()].filter((at) => dense.includes(origins[at]));
  const first = configValue(config, "first_k_dense_replace");
  if (typeof first === "number") fields.first_k_dense_replace = origins.filter((layer) => layer < first).length;
  const sparse = configValue(config, "decoder_sparse_step");
  if (typeof sparse === "number" && sparse > 1)
    throw new UserError(
      `decoder_sparse_step of ${ref} says by its number which block has experts, and ${method} numbers blocks anew`,
      "use a model whose blocks all have experts, or none",
    );
  return fields;
}
