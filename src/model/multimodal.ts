/**
 * Models of several parts, of which the text part runs: what config.json says of that part, and under which names its
 * tensors are stored. Everything else of such a checkpoint is carried through as it came.
 *
 * Layouts are those of transformers and of checkpoints on the Hub: LLaVA and Gemma 3 (`language_model.model.`),
 * transformers from 4.52 on (`model.language_model.`), Idefics (`model.text_model.`), Qwen2-VL (plain names).
 */
import { UserError } from "../errors.ts";
import type { Json } from "./architecture.ts";
import { TEXT_CONFIGS } from "./names.ts";
import { modelTypes } from "./registry.ts";

/** Text parts that compute what a plain architecture does as long as all tokens are text. */
const SAME_AS: Readonly<Record<string, string>> = {
  qwen2_vl_text: "qwen2",
  qwen2_5_vl_text: "qwen2",
  qwen3_vl_text: "qwen3",
};

/** Models that keep the settings of their text part at the top of config.json, and the type of that part. */
const FLAT: Readonly<Record<string, string>> = { qwen2_vl: "qwen2_vl_text", qwen2_5_vl: "qwen2_5_vl_text" };

/** The type of a text part that does not say it. */
const UNSAID: Readonly<Record<string, string>> = {
  gemma3: "gemma3_text",
  llava: "llama",
  llava_next: "llama",
  llava_onevision: "qwen2",
  mistral3: "mistral",
  qwen3_5: "qwen3_5_text",
  qwen3_5_moe: "qwen3_5_moe_text",
  video_llava: "llama",
  vipllava: "llama",
};

/** Models whose text part computes something else than the architecture that it names. */
const OTHERWISE: Readonly<Record<string, string>> = {
  colpali: "lets the tokens of a prompt see later ones",
  paligemma: "lets the tokens of a prompt see later ones",
};

const sizes = (
  ...[vocab_size, hidden_size, intermediate_size, num_hidden_layers, num_attention_heads]: readonly number[]
) => ({ vocab_size, hidden_size, intermediate_size, num_hidden_layers, num_attention_heads });

/**
 * What a nested config leaves out where it is the default of its class: vocabulary, width, inner width, layers, heads
 * and so on, as transformers has them.
 */
const DEFAULTS: Readonly<Record<string, Json>> = {
  llama: sizes(32_000, 4096, 11_008, 32, 32),
  mistral: { ...sizes(32_000, 4096, 14_336, 32, 32), num_key_value_heads: 8, max_position_embeddings: 131_072 },
  ministral3: { ...sizes(131_072, 4096, 14_336, 34, 32), num_key_value_heads: 8 },
  qwen2: { ...sizes(151_936, 4096, 22_016, 32, 32), num_key_value_heads: 32, max_position_embeddings: 32_768 },
  qwen3: {
    ...sizes(151_936, 4096, 22_016, 32, 32),
    ...{ num_key_value_heads: 32, head_dim: 128, max_position_embeddings: 32_768 },
  },
  gemma2: { ...sizes(256_000, 2304, 9216, 26, 8), num_key_value_heads: 4, head_dim: 256, pad_token_id: 0 },
  gemma3_text: { ...sizes(262_208, 2304, 9216, 26, 8), num_key_value_heads: 4, head_dim: 256, pad_token_id: 0 },
};

/** The text part of a model of several parts. */
export interface TextPart {
  /** Its settings, with all that config.json leaves to defaults but whether the head is tied. */
  readonly json: Json;
  /** Names the place of its settings in messages. */
  readonly where: string;
  /** `model_type` of the whole. */
  readonly whole: string;
}

const isObject = (value: unknown): value is Json =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** Positions of three parts, which are one and the same for text: a table of plain positions. */
function onePosition(rope: unknown): unknown {
  if (!isObject(rope) || !("mrope_section" in rope)) return rope;
  const { mrope_section: _, mrope_interleaved: __, ...plain } = rope;
  const turned = Object.entries(plain).map(([key, value]) => [key, value === "mrope" ? "default" : value]);
  return Object.fromEntries(turned);
}

/**
 * The text part that a config.json describes; undefined where it describes a model of one part. Throws UserError where
 * the part runs otherwise than its architecture.
 */
export function textPart(json: Json, where: string): TextPart | undefined {
  const whole = json.model_type;
  if (typeof whole !== "string" || modelTypes().includes(whole)) return undefined;
  const key = TEXT_CONFIGS.find((name) => isObject(json[name]));
  const flat = FLAT[whole];
  if (key === undefined && flat === undefined) return undefined;
  const does = OTHERWISE[whole];
  if (does) throw new UserError(`${where}: ${whole} ${does}, and its text part cannot be run alone here`);
  const nested = key === undefined ? {} : (json[key] as Json);
  const { vision_config: _, ...top } = json;
  // The weights' dtype is that of the whole where the part has none of its own.
  const dtype = Object.fromEntries(Object.entries(json).filter(([name]) => /^(torch_)?dtype$/.test(name)));
  const ownDtype = "dtype" in nested || "torch_dtype" in nested;
  const given = { ...(flat === undefined ? {} : top), ...(ownDtype ? {} : dtype), ...nested };
  const said = nested.model_type ?? flat ?? UNSAID[whole];
  const type = typeof said === "string" ? (SAME_AS[said] ?? said) : said;
  const tied = nested.tie_word_embeddings ?? json.tie_word_embeddings;
  const ropes = ["rope_scaling", "rope_parameters"].filter((name) => name in given);
  return {
    json: {
      ...(typeof type === "string" ? DEFAULTS[type] : {}),
      ...given,
      ...(typeof type === "string" && type !== said
        ? Object.fromEntries(ropes.map((name) => [name, onePosition(given[name])]))
        : {}),
      ...(tied === undefined ? {} : { tie_word_embeddings: tied }),
      model_type: type,
    },
    where: key === undefined ? where : `${where}: ${key}`,
    whole,
  };
}

/**
 * The settings with a tied head where neither config.json says whether it is tied nor the checkpoint has one: defaults
 * of the classes have changed.
 */
export function withHead({ json }: TextPart, tensors: { has(name: string): boolean }, { place }: TextLayout): Json {
  const said = json.tie_word_embeddings !== undefined || tensors.has(place("lm_head.weight"));
  return said ? json : { ...json, tie_word_embeddings: true };
}

/** How the tensors of a text part are stored. */
export interface TextLayout {
  /** Name of a tensor, or of a module, in the checkpoint. */
  place(name: string): string;
  /** Its name in the architecture; undefined for a tensor that cannot be of the text part. */
  plain(name: string): string | undefined;
}

/** Prefixes in the architecture and in the checkpoint, in the order in which they are tried. */
const LAYOUTS: readonly (readonly (readonly [string, string])[])[] = [
  [["", "language_model."]],
  [
    ["model.", "model.language_model."],
    ["lm_head.", "lm_head."],
  ],
  [
    ["model.", "model.text_model."],
    ["lm_head.", "lm_head."],
  ],
  [["", ""]],
  [
    ["model.", "language_model."],
    ["lm_head.", "lm_head."],
  ],
];

/** What every text part has. */
const TABLE = "model.embed_tokens.weight";

/** The layout in which a checkpoint has its text part. Throws UserError where it has none. */
export function textLayout(tensors: { has(name: string): boolean }, ref: string): TextLayout {
  const swap = (name: string, from: string, to: string) =>
    name.startsWith(from) ? to + name.slice(from.length) : undefined;
  const made = LAYOUTS.map((prefixes): TextLayout => {
    // A module's name has no dot behind it.
    const placed = (name: string) => prefixes.map(([inner, outer]) => swap(`${name}.`, inner, outer)?.slice(0, -1));
    const found = (names: (string | undefined)[]) => names.find((name) => name !== undefined);
    return {
      place: (name) => found(placed(name)) ?? name,
      plain: (name) => found(prefixes.map(([inner, outer]) => swap(name, outer, inner))),
    };
  });
  const layout = made.find(({ place }) => tensors.has(place(TABLE)));
  if (layout) return layout;
  throw new UserError(
    `${ref} has no tensor ${made.map(({ place }) => place(TABLE)).join(" or ")}, so its text part is not found`,
    "does config.json belong to these weights?",
  );
}
