/** What the decoders of the Llama family compute: attention and a feed-forward network in every block, with norms. */
import { gated, gatedHalves } from "../../tensor/ops/activation.ts";
import { splitColumns } from "../../tensor/ops/columns.ts";
import { mul, add as plus, scale, sigmoid, softCap } from "../../tensor/ops/elementwise.ts";
import { joinHeads } from "../../tensor/ops/heads.ts";
import { layerNorm, rmsNorm } from "../../tensor/ops/norm.ts";
import { rope } from "../../tensor/ops/rope.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import type { Inputs, Net, ParameterSpec, TokenInputs } from "../architecture.ts";
import type { Around, DecoderConfig } from "./decoder-config.ts";

/** `model.embed_tokens`, the layers as `layer` lists them, `model.norm`, and `lm_head` unless it is tied. */
export function decoderParameters(
  c: DecoderConfig,
  layer: (prefix: string, index: number) => ParameterSpec[],
): ParameterSpec[] {
  const matrix = { shape: [c.vocabulary, c.width], init: { std: c.std } } as const;
  const table = { name: "model.embed_tokens.weight", ...matrix, table: true };
  const head = { name: "lm_head.weight", ...matrix, linear: true };
  return [
    table,
    ...Array.from({ length: c.layers }, (_, i) => layer(`model.layers.${i}`, i)).flat(),
    gainSpec(c, "model.norm.weight"),
    ...(c.tied ? [] : [head]),
  ];
}

/** A linear layer's weight and perhaps bias. */
export function linearSpecs(module: string, out: number, into: number, std: number, bias: boolean): ParameterSpec[] {
  const weight: ParameterSpec = { name: `${module}.weight`, shape: [out, into], init: { std }, linear: true };
  return bias ? [weight, { name: `${module}.bias`, shape: [out], init: "zeros" }] : [weight];
}

/** A norm's weight, with which a new model's gain is 1. */
const gainSpec = (c: DecoderConfig, name: string, width = c.width): ParameterSpec => ({
  name,
  shape: [width],
  init: c.norm === "rms-plus-one" ? "zeros" : "ones",
});

/** The norms around the halves of a block. */
export function normSpecs(c: DecoderConfig, prefix: string): ParameterSpec[] {
  const { attention, feedForward } = c.norms;
  const names = [attention, feedForward].flatMap(({ before, after, sum }) => [before, after, sum]);
  return names.filter((name) => name !== undefined).map((name) => gainSpec(c, `${prefix}.${name}.weight`));
}

export function attentionSpecs(c: DecoderConfig, prefix: string): ParameterSpec[] {
  const at = `${prefix}.self_attn`;
  const [q, kv] = [c.heads * c.headDim, c.kvHeads * c.headDim];
  const linear = (name: string, out: number, into: number, bias: boolean) =>
    linearSpecs(`${at}.${name}`, out, into, c.std, bias);
  const widths = c.qkNorm?.over === "all" ? [q, kv] : [c.headDim, c.headDim];
  const names = c.qkNorm ? [c.qkNorm.names.q, c.qkNorm.names.k] : [];
  return [
    ...(c.fused.qkv
      ? linear("qkv_proj", q + 2 * kv, c.width, c.bias.qkv)
      : [
          ...linear("q_proj", c.gate ? 2 * q : q, c.width, c.bias.qkv),
          ...linear("k_proj", kv, c.width, c.bias.qkv),
          ...linear("v_proj", kv, c.width, c.bias.qkv),
        ]),
    ...linear("o_proj", c.width, q, c.bias.o),
    ...(c.sinks ? [{ name: `${at}.sinks`, shape: [c.heads], init: { std: c.std } } as const] : []),
    ...names.map((name, i) => gainSpec(c, `${at}.${name}.weight`, widths[i])),
  ];
}

export const mlpSpecs = (c: DecoderConfig, module: string, inner = c.inner): ParameterSpec[] => [
  ...(c.fused.gateUp
    ? linearSpecs(`${module}.gate_up_proj`, 2 * inner, c.width, c.std, c.bias.mlp)
    : [
        ...linearSpecs(`${module}.gate_proj`, inner, c.width, c.std, c.bias.mlp),
        ...linearSpecs(`${module}.up_proj`, inner, c.width, c.std, c.bias.mlp),
      ]),
  ...linearSpecs(`${module}.down_proj`, c.width, inner, c.std, c.bias.mlp),
];

/** x normalised as the decoder's norms do, with the gain of this name. */
function normalized(net: Net, { norm, eps }: DecoderConfig, x: Tensor, name: string): Tensor {
  const weight = net.weight(`${name}.weight`);
  if (norm === "layer") return layerNorm(net.rec, x, weight, undefined, { eps });
  return rmsNorm(net.rec, x, weight, { eps, plusOne: norm === "rms-plus-one" });
}

/** Gives q or its gates (N, H * D), k or v (N, Hkv * D) of h (N, C). */
function projections(net: Net, c: DecoderConfig, at: string, h: Tensor): (name: "q" | "gate" | "k" | "v") => Tensor {
  const d = c.headDim;
  if (c.gate) {
    const both = net.linear(h, `${at}.q_proj`); // (N, H [query, gate])
    const half = (first: number) => joinHeads(net.rec, c.heads, d, [{ x: both, width: 2 * d, first, columns: d }]);
    return (name) => (name === "q" ? half(0) : name === "gate" ? half(d) : net.linear(h, `${at}.${name}_proj`));
  }
  if (!c.fused.qkv) return (name) => net.linear(h, `${at}.${name}_proj`);
  const [q, kv] = [c.heads * d, c.kvHeads * d];
  const parts = splitColumns(net.rec, net.linear(h, `${at}.qkv_proj`), [q, kv, kv]);
  return (name) => parts["qkv".indexOf(name)]!;
}

/** A layer, and what it runs over. */
export interface LayerPlace {
  /** `model.layers.3` */
  readonly prefix: string;
  readonly layer: number;
  readonly inputs: TokenInputs;
}

/** add + o(attention(q, k, v)) of h. (N, C) -> (N, C) */
export function selfAttention(
  net: Net,
  c: DecoderConfig,
  { prefix, layer, inputs }: LayerPlace,
  h: Tensor,
  add?: Tensor,
): Tensor {
  const at = `${prefix}.self_attn`;
  const { window, rope: tables, queryRope = tables } = c.kinds[layer]!;
  const { heads, kvHeads, headDim, qkNorm } = c;
  const length = inputs.cache?.capacity ?? inputs.length + (inputs.ahead ?? 0);
  const normed = (x: Tensor, name: "q" | "k") => (qkNorm ? normalized(net, c, x, `${at}.${qkNorm.names[name]}`) : x);
  const turned = (x: Tensor, name: "q" | "k") => {
    const by = name === "q" ? queryRope : tables;
    if (!by) return x;
    const count = name === "q" ? heads : kvHeads;
    return rope(net.rec, x, inputs.positions, { heads: count, headDim, tables: by, length, rowLength: inputs.length });
  };
  const project = projections(net, c, at, h);
  const placed = (name: "q" | "k") =>
    qkNorm?.rotated ? normed(turned(project(name), name), name) : turned(normed(project(name), name), name);
  const mixed = net.attend(placed("q"), placed("k"), project("v"), {
    ...{ layer, heads, kvHeads, headDim, causal: true },
    ...(window ? { window } : {}),
    ...(c.attentionScale === undefined ? {} : { scale: c.attentionScale }),
    ...(c.caps.scores ? { cap: c.caps.scores } : {}),
    ...(c.sinks ? { sinks: net.weight(`${at}.sinks`) } : {}),
  });
  const read = c.gate ? mul(net.rec, mixed, sigmoid(net.rec, project("gate"))) : mixed;
  return net.linear(read, `${at}.o_proj`, add ? { add } : {});
}

/** add + down(act(gate(h)) * up(h)). (N, C) -> (N, C) */
export function gatedMlp(net: Net, c: DecoderConfig, module: string, h: Tensor, add?: Tensor): Tensor {
  const { rec } = net;
  const inner = c.fused.gateUp
    ? gatedHalves(rec, net.linear(h, `${module}.gate_up_proj`), c.activation)
    : gated(rec, net.linear(h, `${module}.gate_proj`), net.linear(h, `${module}.up_proj`), c.activation); // (N, inner)
  return net.linear(inner, `${module}.down_proj`, add ? { add } : {});
}

/** (N) ids -> (N, C). The row of padding takes no gradient. */
function tokenRows(net: Net, c: DecoderConfig, { ids }: TokenInputs): Tensor {
  const { embedding: factor } = c.multipliers;
  if (c.scaledTable) return net.embed(ids, "model.embed_tokens", { fixed: c.padding, scale: factor });
  const rows = net.embed(ids, "model.embed_tokens", { fixed: c.padding });
  return factor === 1 ? rows : scale(net.rec, rows, factor);
}

/** x + multiplier * norm(branch), where `branch` may add x itself. */
function residual(
  net: Net,
  c: DecoderConfig,
  x: Tensor,
  norm: string | undefined,
  branch: (add?: Tensor) => Tensor,
): Tensor {
  const factor = c.multipliers.residual;
  if (norm === undefined && factor === 1) return branch(x);
  const y = norm === undefined ? branch() : normalized(net, c, branch(), norm);
  return plus(net.rec, x, factor === 1 ? y : scale(net.rec, y, factor));
}

/** Half of a layer: (N, C) normalised state to (N, C), with `add` added where it is given. */
type Half = (place: LayerPlace, h: Tensor, add?: Tensor) => Tensor;

/** Embedding, layers, final norm. */
export function decoderForward(
  net: Net,
  c: DecoderConfig,
  inputs: Inputs,
  halves: { readonly attention: Half; readonly feedForward: Half },
): Tensor {
  if (!("positions" in inputs)) throw new TypeError("a language model takes token ids");
  const { attention: first, feedForward: second } = c.norms;
  const last = net.layers(c.layers, tokenRows(net, c, inputs), (layer, x) => {
    const prefix = `model.layers.${layer}`;
    const normed = (y: Tensor, name: string | undefined) => (name ? normalized(net, c, y, `${prefix}.${name}`) : y);
    const around = (y: Tensor, { after, sum }: Around, branch: (add?: Tensor) => Tensor) =>
      normed(residual(net, c, y, after && `${prefix}.${after}`, branch), sum);
    const h = normed(x, first.before);
    const mixed = around(x, first, (add) => halves.attention({ prefix, layer, inputs }, h, add));
    const middle = net.note(`middle.${layer}`, mixed);
    const g = c.parallel ? h : normed(middle, second.before);
    return around(middle, second, (add) => halves.feedForward({ prefix, layer, inputs }, g, add));
  });
  return normalized(net, c, last, "model.norm");
}

/** Logits (N, V), of hidden states that are scaled rather than they, since these are wider. */
export function decoderHead(net: Net, c: DecoderConfig, hidden: Tensor): Tensor {
  const { logits: factor } = c.multipliers;
  const scaled = factor === 1 ? hidden : scale(net.rec, hidden, factor);
  const logits = net.linear(scaled, c.tied ? "model.embed_tokens" : "lm_head");
  return c.caps.logits ? softCap(net.rec, logits, c.caps.logits) : logits;
}
