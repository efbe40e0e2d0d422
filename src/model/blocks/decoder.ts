/** What the decoders of the Llama family share: their sizes, their attention and their feed-forward network. */
import { CANNOT_RUN, UserError } from "../../errors.ts";
import { swiglu } from "../../tensor/ops/activation.ts";
import { embedding } from "../../tensor/ops/embedding.ts";
import { rmsNorm } from "../../tensor/ops/norm.ts";
import { rope } from "../../tensor/ops/rope.ts";
import { type RopeTables, ropeTables } from "../../tensor/ops/rope-scaling.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import type { Inputs, Json, ModelSizes, Net, ParameterSpec, TokenInputs } from "../architecture.ts";
import { ConfigReader, numberIn } from "../config.ts";

export interface DecoderConfig {
  readonly width: number;
  readonly inner: number;
  readonly layers: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  readonly vocabulary: number;
  readonly maxPositions: number;
  readonly eps: number;
  readonly tied: boolean;
  readonly std: number;
  readonly rope: RopeTables;
  /** Biases of q, k, v; of o; of the feed-forward network. */
  readonly bias: { readonly qkv: boolean; readonly o: boolean; readonly mlp: boolean };
  /** RMSNorm of q and k: none, per head (Qwen3), over all heads (OLMoE). */
  readonly qkNorm: "none" | "head" | "all";
  readonly window?: number;
  /** Row of the embedding that takes no gradient, as PyTorch's `padding_idx`; the head's part of a tied row does. */
  readonly padding?: number;
}

/** Token of `pad_token_id`, counted from the end where it is negative; undefined without one in the vocabulary. */
function paddingRow(id: unknown, vocabulary: number): { readonly padding?: number } {
  if (typeof id !== "number" || !Number.isInteger(id)) return {};
  const row = id < 0 ? vocabulary + id : id;
  return row >= 0 && row < vocabulary ? { padding: row } : {};
}

/** Base and scaling of the rotary positions, which configs of transformers 5 keep together. */
function rotaryTables(
  c: ConfigReader,
  where: string,
  own: { readonly headDim: number; readonly maxPositions: number; readonly theta: number },
): RopeTables {
  const together = c.object("rope_parameters");
  const scaling = c.object("rope_scaling") ?? together;
  const perLayer = Object.entries(scaling ?? {}).find(
    ([, value]) => typeof value === "object" && value !== null && !Array.isArray(value),
  );
  if (perLayer)
    throw new UserError(
      `${where}: rope_parameters.${perLayer[0]} is of one kind of layer; all layers share one rotary table here`,
      CANNOT_RUN,
    );
  const inner = scaling?.rope_theta ?? together?.rope_theta;
  const theta =
    inner === undefined || inner === null
      ? c.number("rope_theta", own.theta, { least: 0, open: true })
      : numberIn(inner, where, "rope_parameters.rope_theta", { least: 0, open: true });
  return ropeTables({ headDim: own.headDim, theta, scaling, maxPositions: own.maxPositions, where });
}

/** Reads the keys that these architectures share. */
export function decoderConfig(
  json: Json,
  where: string,
  own: Pick<DecoderConfig, "bias" | "qkNorm"> & {
    readonly tied: boolean;
    readonly theta?: number;
    readonly eps?: number;
    readonly window?: number;
  },
): DecoderConfig {
  const c = new ConfigReader(json, where);
  const width = c.count("hidden_size");
  const heads = c.count("num_attention_heads");
  if (heads > width && !c.has("head_dim"))
    throw new UserError(
      `${where}: ${heads} heads (num_attention_heads) do not fit into hidden_size ${width}, and there is no head_dim`,
      "compare it with the model's page",
    );
  const headDim = c.count("head_dim", Math.floor(width / heads));
  const maxPositions = c.count("max_position_embeddings", 2048);
  c.only("hidden_act", "silu");
  c.only("partial_rotary_factor", 1);
  const kvHeads = c.count("num_key_value_heads", heads);
  if (heads % kvHeads !== 0)
    throw new UserError(
      `${where}: ${heads} heads (num_attention_heads) cannot share ${kvHeads} of keys and values (num_key_value_heads)`,
      "the first must be a multiple of the second",
    );
  const vocabulary = c.count("vocab_size");
  return {
    width,
    inner: c.count("intermediate_size"),
    layers: c.count("num_hidden_layers"),
    heads,
    kvHeads,
    headDim,
    vocabulary,
    maxPositions,
    eps: c.number("rms_norm_eps", own.eps ?? 1e-6, { least: 0 }),
    tied: c.flag("tie_word_embeddings", own.tied),
    std: c.number("initializer_range", 0.02, { least: 0 }),
    rope: rotaryTables(c, where, { headDim, maxPositions, theta: own.theta ?? 10_000 }),
    bias: own.bias,
    qkNorm: own.qkNorm,
    ...(own.window ? { window: own.window } : {}),
    ...paddingRow(json.pad_token_id, vocabulary),
  };
}

/** All keys of these architectures that other tools read. */
export const decoderImplied = (c: DecoderConfig): Json => ({
  vocab_size: c.vocabulary,
  hidden_size: c.width,
  intermediate_size: c.inner,
  num_hidden_layers: c.layers,
  num_attention_heads: c.heads,
  num_key_value_heads: c.kvHeads,
  head_dim: c.headDim,
  hidden_act: "silu",
  max_position_embeddings: c.maxPositions,
  initializer_range: c.std,
  rms_norm_eps: c.eps,
  rope_theta: c.rope.theta,
  tie_word_embeddings: c.tied,
  ...(c.window ? { sliding_window: c.window } : {}),
});

export const decoderSizes = (c: DecoderConfig): ModelSizes => ({
  layers: c.layers,
  width: c.width,
  outputs: c.vocabulary,
  maxPositions: c.maxPositions,
});

/** `model.embed_tokens`, the layers as `layer` lists them, `model.norm`, and `lm_head` unless it is tied. */
export function decoderParameters(
  c: DecoderConfig,
  layer: (prefix: string, index: number) => ParameterSpec[],
): ParameterSpec[] {
  const table = { name: "model.embed_tokens.weight", shape: [c.vocabulary, c.width], init: { std: c.std } } as const;
  const head = { name: "lm_head.weight", shape: [c.vocabulary, c.width], init: { std: c.std }, linear: true } as const;
  return [
    table,
    ...Array.from({ length: c.layers }, (_, i) => layer(`model.layers.${i}`, i)).flat(),
    { name: "model.norm.weight", shape: [c.width], init: "ones" },
    ...(c.tied ? [] : [head]),
  ];
}

/** A linear layer's weight and perhaps bias. */
export function linearSpecs(module: string, out: number, into: number, std: number, bias: boolean): ParameterSpec[] {
  const weight: ParameterSpec = { name: `${module}.weight`, shape: [out, into], init: { std }, linear: true };
  return bias ? [weight, { name: `${module}.bias`, shape: [out], init: "zeros" }] : [weight];
}

export function attentionSpecs(c: DecoderConfig, prefix: string): ParameterSpec[] {
  const at = `${prefix}.self_attn`;
  const norms = { none: [], head: [c.headDim, c.headDim], all: [c.heads * c.headDim, c.kvHeads * c.headDim] }[c.qkNorm];
  const names = ["q_norm", "k_norm"];
  return [
    ...linearSpecs(`${at}.q_proj`, c.heads * c.headDim, c.width, c.std, c.bias.qkv),
    ...linearSpecs(`${at}.k_proj`, c.kvHeads * c.headDim, c.width, c.std, c.bias.qkv),
    ...linearSpecs(`${at}.v_proj`, c.kvHeads * c.headDim, c.width, c.std, c.bias.qkv),
    ...linearSpecs(`${at}.o_proj`, c.width, c.heads * c.headDim, c.std, c.bias.o),
    ...norms.map((n, i): ParameterSpec => ({ name: `${at}.${names[i]}.weight`, shape: [n], init: "ones" })),
  ];
}

export const mlpSpecs = (c: DecoderConfig, module: string, inner = c.inner): ParameterSpec[] => [
  ...linearSpecs(`${module}.gate_proj`, inner, c.width, c.std, c.bias.mlp),
  ...linearSpecs(`${module}.up_proj`, inner, c.width, c.std, c.bias.mlp),
  ...linearSpecs(`${module}.down_proj`, c.width, inner, c.std, c.bias.mlp),
];

export const normSpec = (c: DecoderConfig, name: string): ParameterSpec => ({ name, shape: [c.width], init: "ones" });

/** x + o(attention(q, k, v)) of the normalised x. (N, C) -> (N, C) */
export function selfAttention(
  net: Net,
  c: DecoderConfig,
  prefix: string,
  layer: number,
  x: Tensor,
  inputs: TokenInputs,
): Tensor {
  const { rec } = net;
  const at = `${prefix}.self_attn`;
  const h = rmsNorm(rec, x, net.weight(`${prefix}.input_layernorm.weight`), { eps: c.eps }); // (N, C)
  const rotated = (name: "q" | "k", heads: number) => {
    let y = net.linear(h, `${at}.${name}_proj`); // (N, heads * D)
    if (c.qkNorm !== "none") {
      y = rmsNorm(rec, y, net.weight(`${at}.${name}_norm.weight`), { eps: c.eps });
    }
    const length = inputs.cache?.capacity ?? inputs.length;
    return rope(rec, y, inputs.positions, { heads, headDim: c.headDim, tables: c.rope, length });
  };
  const q = rotated("q", c.heads);
  const k = rotated("k", c.kvHeads);
  const v = net.linear(h, `${at}.v_proj`);
  const { heads, kvHeads, headDim, window } = c;
  const mixed = net.attend(q, k, v, { layer, heads, kvHeads, headDim, causal: true, ...(window ? { window } : {}) });
  return net.linear(mixed, `${at}.o_proj`, { add: x });
}

/** add + down(silu(gate(h)) * up(h)). (N, C) -> (N, C) */
export function gatedMlp(net: Net, module: string, h: Tensor, add?: Tensor): Tensor {
  const inner = swiglu(net.rec, net.linear(h, `${module}.gate_proj`), net.linear(h, `${module}.up_proj`)); // (N, inner)
  return net.linear(inner, `${module}.down_proj`, add ? { add } : {});
}

/** (N) ids -> (N, C). The row of padding takes no gradient. */
const tokenRows = (net: Net, c: DecoderConfig, { ids }: TokenInputs): Tensor =>
  embedding(net.rec, ids, net.weight("model.embed_tokens.weight"), { fixed: c.padding });

/** Embedding, layers, final norm. `feedForward` gets the normalised state and the residual to add. */
export function decoderForward(
  net: Net,
  c: DecoderConfig,
  inputs: Inputs,
  feedForward: (prefix: string, layer: number, h: Tensor, add: Tensor) => Tensor,
): Tensor {
  if (!("ids" in inputs)) throw new TypeError("a language model takes token ids");
  const { rec } = net;
  let x = net.note("hidden.0", tokenRows(net, c, inputs)); // (N, C)
  for (let layer = 0; layer < c.layers; layer++) {
    const prefix = `model.layers.${layer}`;
    const into = x;
    x = net.block(() => {
      const mixed = net.note(`middle.${layer}`, selfAttention(net, c, prefix, layer, into, inputs));
      const h = rmsNorm(rec, mixed, net.weight(`${prefix}.post_attention_layernorm.weight`), { eps: c.eps });
      return feedForward(prefix, layer, h, mixed);
    });
    x = net.note(`hidden.${layer + 1}`, x);
  }
  return rmsNorm(rec, x, net.weight("model.norm.weight"), { eps: c.eps });
}

export const decoderHead = (net: Net, c: DecoderConfig, hidden: Tensor): Tensor =>
  net.linear(hidden, c.tied ? "model.embed_tokens" : "lm_head"); // (N, V)
