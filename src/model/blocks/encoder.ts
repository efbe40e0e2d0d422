/**
 * Encoders of the BERT family: every token sees all others of its text, and norms stand after the halves of a block. A
 * head reads the state of the first token. Devlin et al., NAACL 2019, https://arxiv.org/abs/1810.04805
 */
import { gelu, relu, silu } from "../../tensor/ops/activation.ts";
import { add } from "../../tensor/ops/elementwise.ts";
import { embedding } from "../../tensor/ops/embedding.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { isOfHead } from "../adapters/head.ts";
import type { Architecture, Inputs, Net, ParameterSpec, TextInputs } from "../architecture.ts";
import { linearSpecs } from "./decoder.ts";
import { type EncoderConfig, type EncoderKeys, encoderImplied, encoderSizes } from "./encoder-config.ts";
import { layerNormSpecs, normed } from "./layer-norm.ts";

/** How a family names its modules: those of a layer below `<layers>.<number>.`. */
export interface EncoderNames {
  /** What stands before every module but the head's: `bert.` */
  readonly model: string;
  readonly layers: string;
  readonly query: string;
  readonly key: string;
  readonly value: string;
  readonly mixed: string;
  readonly mixedNorm: string;
  readonly up: string;
  readonly down: string;
  readonly downNorm: string;
}

export const BERT_NAMES: Omit<EncoderNames, "model"> = {
  layers: "encoder.layer",
  query: "attention.self.query",
  key: "attention.self.key",
  value: "attention.self.value",
  mixed: "attention.output.dense",
  mixedNorm: "attention.output.LayerNorm",
  up: "intermediate.dense",
  down: "output.dense",
  downNorm: "output.LayerNorm",
};

/** What reads the first token's state, (B, C). */
export interface ClassifierHead {
  /** Modules whose weights are the head's own, which a pretrained encoder lacks. */
  readonly modules: readonly string[];
  /** Weights of the pooler and of the head, in the order in which they are saved. */
  readonly specs: (config: EncoderConfig) => readonly ParameterSpec[];
  /** What the head reads, (B, C), of the first token's state: BERT has a pooler. */
  readonly pooled?: (net: Net, first: Tensor) => Tensor;
  /** (B, C) -> (B, classes) */
  readonly logits: (net: Net, pooled: Tensor) => Tensor;
}

function activated(net: Net, { activation }: EncoderConfig, x: Tensor): Tensor {
  if (activation === "relu") return relu(net.rec, x);
  if (activation === "silu" || activation === "swish") return silu(net.rec, x);
  return gelu(net.rec, x, { tanh: activation !== "gelu" });
}

function layerSpecs(c: EncoderConfig, names: EncoderNames, prefix: string): ParameterSpec[] {
  const linear = (name: string, out: number, into: number) => linearSpecs(`${prefix}.${name}`, out, into, c.std, true);
  return [
    ...[names.query, names.key, names.value, names.mixed].flatMap((name) => linear(name, c.width, c.width)),
    ...layerNormSpecs(`${prefix}.${names.mixedNorm}`, c.width),
    ...linear(names.up, c.inner, c.width),
    ...linear(names.down, c.width, c.inner),
    ...layerNormSpecs(`${prefix}.${names.downNorm}`, c.width),
  ];
}

function encoderParameters(c: EncoderConfig, names: EncoderNames): ParameterSpec[] {
  const at = `${names.model}embeddings`;
  const table = (name: string, rows: number): ParameterSpec[] =>
    rows === 0 ? [] : [{ name: `${at}.${name}.weight`, shape: [rows, c.width], init: { std: c.std }, table: true }];
  return [
    ...table("word_embeddings", c.vocabulary),
    ...table("position_embeddings", c.positionRows),
    ...table("token_type_embeddings", c.types),
    ...layerNormSpecs(`${at}.LayerNorm`, c.width),
    ...Array.from({ length: c.layers }, (_, i) => layerSpecs(c, names, `${names.model}${names.layers}.${i}`)).flat(),
  ];
}

/** Sum of the rows of token, type and position, normalised: (N, C). */
function embedded(net: Net, c: EncoderConfig, { model }: EncoderNames, inputs: TextInputs): Tensor {
  const { rec } = net;
  const { batch, length, ids, types } = inputs;
  const at = `${model}embeddings`;
  // Padding may reach beyond the last position; whatever it gets, no token sees it.
  const rows = Int32Array.from({ length: batch * length }, (_, i) =>
    Math.min(c.firstPosition + (i % length), c.positionRows - 1),
  );
  const positions = net.embed(rec.constant(rows, [batch * length], "positions"), `${at}.position_embeddings`);
  const words = net.embed(ids, `${at}.word_embeddings`, { fixed: c.padding });
  const typed = c.types > 0 ? add(rec, words, net.embed(types, `${at}.token_type_embeddings`)) : words;
  return normed(net, c, `${at}.LayerNorm`, add(rec, typed, positions));
}

/** norm(x + attention(x)), then norm(h + down(act(up(h)))): (N, C) -> (N, C) */
function encoderLayer(net: Net, c: EncoderConfig, names: EncoderNames, layer: number, x: Tensor): Tensor {
  const prefix = `${names.model}${names.layers}.${layer}`;
  const linear = (y: Tensor, name: string, added?: Tensor) =>
    net.linear(y, `${prefix}.${name}`, added ? { add: added } : {});
  const [q, k, v] = [names.query, names.key, names.value].map((name) => linear(x, name));
  const shape = { heads: c.heads, kvHeads: c.heads, headDim: c.width / c.heads, causal: false };
  const mixed = linear(net.attend(q!, k!, v!, { layer, ...shape }), names.mixed, x);
  const h = net.note(`middle.${layer}`, normed(net, c, `${prefix}.${names.mixedNorm}`, mixed));
  const inner = activated(net, c, linear(h, names.up)); // (N, inner)
  return normed(net, c, `${prefix}.${names.downNorm}`, linear(inner, names.down, h));
}

/** The last state of every token: (N, C). */
function lastStates(net: Net, c: EncoderConfig, names: EncoderNames, inputs: Inputs): Tensor {
  if (!("types" in inputs)) throw new TypeError("a classifier of texts takes token ids");
  return net.layers(c.layers, embedded(net, c, names, inputs), (layer, x) => encoderLayer(net, c, names, layer, x));
}

/** The last state of the first token of every text: (B, C). */
function firstStates(net: Net, c: EncoderConfig, names: EncoderNames, inputs: Inputs): Tensor {
  const x = lastStates(net, c, names, inputs);
  const { batch } = inputs;
  const length = x.shape[0]! / batch;
  const places = Int32Array.from({ length: batch }, (_, i) => i * length);
  return embedding(net.rec, net.rec.constant(places, [batch], "first tokens"), x);
}

/** The equations of an encoder under these names with this head. */
export const textClassifier = (names: EncoderNames, head: ClassifierHead, keys: EncoderKeys) =>
  ({
    task: "classifier",
    basePrefix: names.model,
    ignored: /(^|\.)embeddings\.(position|token_type)_ids$/,
    headModules: head.modules,
    // Files of TensorFlow's time call a norm's gain and bias so.
    olderNames: (name) =>
      /LayerNorm\.(weight|bias)$/.test(name) ? [name.replace(/weight$/, "gamma").replace(/bias$/, "beta")] : [],
    sizes: encoderSizes,
    implied: (c) => encoderImplied(c, keys),
    parameters: (c) => [
      ...encoderParameters(c, names),
      ...head.specs(c).map((spec) => ({ ...spec, whole: isOfHead(spec.name, head.modules) })),
    ],

    forward(net, c, inputs) {
      const first = firstStates(net, c, names, inputs);
      return head.pooled ? head.pooled(net, first) : first;
    },

    head: (net, _, hidden) => head.logits(net, hidden),

    trunk: {
      parameters: (c) => encoderParameters(c, { ...names, model: "" }),
      states: (net, c, inputs) => lastStates(net, c, { ...names, model: "" }, inputs),
    },
  }) as const satisfies Partial<Architecture<EncoderConfig>>;
