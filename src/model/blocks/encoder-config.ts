/** What config.json says of an encoder with a head that classifies texts. */
import { UserError } from "../../errors.ts";
import type { Json, ModelSizes } from "../architecture.ts";
import { type ConfigReader, expectHead } from "../config.ts";
import { type Classes, classesOf, namesOf } from "./classes.ts";

/** Activations of the feed-forward network, by their names in config.json. */
const ACTIVATIONS = ["gelu", "gelu_new", "gelu_pytorch_tanh", "relu", "silu", "swish"] as const;

export type EncoderActivation = (typeof ACTIVATIONS)[number];

export interface EncoderConfig extends Classes {
  readonly width: number;
  readonly inner: number;
  readonly layers: number;
  readonly heads: number;
  readonly vocabulary: number;
  /** Rows of the table of positions. */
  readonly positionRows: number;
  /** Row of the first token: RoBERTa leaves out those up to its token of padding. */
  readonly firstPosition: number;
  /** Rows of the table of token types; 0 for a model without one. */
  readonly types: number;
  readonly activation: EncoderActivation;
  readonly eps: number;
  readonly std: number;
  /** Row of the token table that takes no gradient. */
  readonly padding: number | undefined;
}

/** Keys of config.json, which differ between families. */
export interface EncoderKeys {
  readonly width: string;
  readonly inner: string;
  readonly layers: string;
  readonly heads: string;
  readonly activation: string;
  /** Of the epsilon of norms; 1e-12 in a family without one. */
  readonly eps?: string;
}

export const BERT_KEYS: EncoderKeys = {
  width: "hidden_size",
  inner: "intermediate_size",
  layers: "num_hidden_layers",
  heads: "num_attention_heads",
  activation: "hidden_act",
  eps: "layer_norm_eps",
};

/** What a family has where the config says nothing, and what is fixed. */
export interface EncoderOwn {
  readonly keys: EncoderKeys;
  /** `max_position_embeddings` and `pad_token_id`. */
  readonly positions: number;
  readonly padding: number;
  /** Positions begin behind the token of padding. */
  readonly afterPadding?: boolean;
  /** `type_vocab_size`; undefined for a family without a table of token types. */
  readonly types?: number;
}

/** Reads the keys that these architectures share. Throws UserError. */
export function encoderConfig(c: ConfigReader, own: EncoderOwn): EncoderConfig {
  const { keys } = own;
  const width = c.count(keys.width, 768);
  const heads = c.count(keys.heads, 12);
  expectHead(c.where, c.headWidth(width, heads, { width: keys.width, heads: keys.heads }));
  const vocabulary = c.count("vocab_size");
  const padding = c.isNull("pad_token_id") ? undefined : c.countOrNone("pad_token_id", own.padding);
  const positionRows = c.count("max_position_embeddings", own.positions);
  const firstPosition = own.afterPadding ? (padding ?? own.padding) + 1 : 0;
  if (firstPosition >= positionRows)
    throw new UserError(
      `${c.where}: positions begin at ${firstPosition} (pad_token_id + 1), but there are ${positionRows} (max_position_embeddings)`,
      "compare it with the model's page",
    );
  return {
    ...classesOf(c),
    width,
    inner: c.count(keys.inner, 4 * width),
    layers: c.count(keys.layers, 12),
    heads,
    vocabulary,
    positionRows,
    firstPosition,
    types: own.types === undefined ? 0 : c.count("type_vocab_size", own.types),
    activation: c.oneOf(keys.activation, ACTIVATIONS, "gelu"),
    eps: keys.eps ? c.number(keys.eps, 1e-12, { least: 0 }) : 1e-12,
    std: c.number("initializer_range", 0.02, { least: 0 }),
    padding: padding !== undefined && padding < vocabulary ? padding : undefined,
  };
}

/** All keys that other tools read. */
export function encoderImplied(c: EncoderConfig, keys: EncoderKeys): Json {
  return {
    vocab_size: c.vocabulary,
    [keys.width]: c.width,
    [keys.layers]: c.layers,
    [keys.heads]: c.heads,
    [keys.inner]: c.inner,
    [keys.activation]: c.activation,
    max_position_embeddings: c.positionRows,
    initializer_range: c.std,
    ...(keys.eps ? { [keys.eps]: c.eps } : {}),
    ...(c.types > 0 ? { type_vocab_size: c.types } : {}),
    ...namesOf(c),
    problem_type: "single_label_classification",
  };
}

export const encoderSizes = (c: EncoderConfig): ModelSizes => ({
  layers: c.layers,
  width: c.width,
  outputs: c.classes,
  maxPositions: c.positionRows - c.firstPosition,
  text: { vocabulary: c.vocabulary, types: c.types, labels: c.labels },
});
