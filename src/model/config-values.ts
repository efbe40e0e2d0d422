/**
 * Values of a config.json that no model can have, for tools that work by tensor names and need no architecture: they
 * tell what a loader will refuse.
 */
import { UserError } from "../errors.ts";
import type { Json } from "./architecture.ts";
import { ConfigReader, type NumberRange } from "./config.ts";

/** Counts under the names of published architectures. Zero experts mean none, so experts are not among them. */
const COUNTS = [
  ...["hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads"],
  ...["head_dim", "vocab_size", "max_position_embeddings", "n_embd", "n_head", "n_layer", "n_positions", "n_inner"],
  ...["d_model", "d_ff", "d_kv", "num_layers", "num_heads", "image_size", "patch_size", "num_channels"],
];

const NUMBERS: Readonly<Record<string, NumberRange>> = {
  rms_norm_eps: { least: 0 },
  layer_norm_eps: { least: 0 },
  layer_norm_epsilon: { least: 0 },
  rope_theta: { least: 0, open: true },
};

/** Pairs of which the first is a multiple of the second, unless the key behind them says the quotient. */
const MULTIPLES = [
  ["hidden_size", "num_attention_heads", "head_dim"],
  ["n_embd", "n_head", "head_dim"],
  ["num_attention_heads", "num_key_value_heads", undefined],
] as const;

/** What is impossible in a config and that of its text model, a sentence each. Lists by layer are not looked at. */
export function impossibleValues(config: Json, where: string): string[] {
  const text = config.text_config;
  const isPart = typeof text === "object" && text !== null && !Array.isArray(text);
  return [...impossibleIn(config, where), ...(isPart ? impossibleIn(text as Json, `${where}: text_config`) : [])];
}

function impossibleIn(json: Json, where: string): string[] {
  const reader = new ConfigReader(json, where);
  const found: string[] = [];
  const attempt = (check: () => void): boolean => {
    try {
      check();
      return true;
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      found.push(error.message);
      return false;
    }
  };
  const isOne = (key: string) => reader.has(key) && typeof json[key] !== "object";
  const good = new Set(COUNTS.filter((key) => isOne(key) && attempt(() => reader.count(key))));
  for (const [key, range] of Object.entries(NUMBERS))
    if (isOne(key)) attempt(() => reader.number(key, undefined, range));
  for (const [width, heads, quotient] of MULTIPLES) {
    if (!good.has(width) || !good.has(heads) || (quotient !== undefined && reader.has(quotient))) continue;
    attempt(() => reader.headWidth(json[width] as number, json[heads] as number, { width, heads }));
  }
  return found;
}
