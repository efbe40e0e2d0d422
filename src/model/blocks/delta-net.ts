/**
 * Gated DeltaNet in most layers, attention whose heads are gated in the others: Qwen3-Next and Qwen3.5.
 * https://arxiv.org/abs/2412.06464, https://arxiv.org/abs/2505.06708
 *
 * A linear layer keeps no keys and values but one state per head. Its queries, keys and values go through a short
 * convolution over tokens; the rule that writes the state is in src/tensor/ops/delta-rule.ts.
 */
import { UserError } from "../../errors.ts";
import { gated } from "../../tensor/ops/activation.ts";
import { causalConv } from "../../tensor/ops/causal-conv.ts";
import { joinColumns, splitColumns } from "../../tensor/ops/columns.ts";
import { decayGates, deltaRule } from "../../tensor/ops/delta-rule.ts";
import { sigmoid } from "../../tensor/ops/elementwise.ts";
import { joinHeads } from "../../tensor/ops/heads.ts";
import { rmsNorm } from "../../tensor/ops/norm.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import type { Json, ModelSizes, Net, ParameterSpec } from "../architecture.ts";
import type { ConfigReader } from "../config.ts";
import type { BlockAttention } from "./causal-decoder.ts";
import { attentionSpecs, type LayerPlace, linearSpecs, selfAttention } from "./decoder.ts";
import { type DecoderConfig, type DecoderOwn, decoderSizes, layerTypes, qkNorm } from "./decoder-config.ts";
import { rotary } from "./rotary.ts";

type DeltaLayer = "linear_attention" | "full_attention";

export interface DeltaNetSizes {
  readonly keyHeads: number;
  readonly heads: number;
  /** Values of a head of queries and keys, and of a head of values. */
  readonly dk: number;
  readonly dv: number;
  /** Tokens of the convolution. */
  readonly taps: number;
  /** Of each layer. */
  readonly types: readonly DeltaLayer[];
  /**
   * Projections: `in_proj_qkvz` and `in_proj_ba`, whose rows go by head of keys, or `in_proj_qkv`, `z`, `b` and `a`.
   */
  readonly grouped: boolean;
}

export type DeltaNetConfig = DecoderConfig & { readonly delta: DeltaNetSizes };

/** Queries and keys are divided by sqrt(their square + this). */
const UNIT_EPS = 1e-6;

/** Decay rates of a new model are spread up to this. */
const MOST_RATE = 16;

/** Traits of these decoders; `own` are values of keys that a config leaves out. */
export interface DeltaNetOwn {
  readonly heads: number;
  readonly grouped: boolean;
}

/** Every n-th layer has full attention, by `layer_types` or `full_attention_interval`. Throws UserError. */
function typesOf(c: ConfigReader, layers: number): readonly DeltaLayer[] {
  const interval = c.count("full_attention_interval", 4);
  const fallback = (layer: number): DeltaLayer =>
    (layer + 1) % interval === 0 ? "full_attention" : "linear_attention";
  return layerTypes<DeltaLayer>(c, layers, fallback, ["linear_attention", "full_attention"]);
}

/** Reads the sizes, and what of a decoder follows from them. Throws UserError. */
export function deltaNet(
  c: ConfigReader,
  own: DeltaNetOwn,
): { readonly delta: DeltaNetSizes; readonly traits: Omit<DecoderOwn, "tied"> } {
  const keyHeads = c.count("linear_num_key_heads", 16);
  const heads = c.count("linear_num_value_heads", own.heads);
  if (heads % keyHeads !== 0)
    throw new UserError(
      `${c.where}: ${heads} heads (linear_num_value_heads) cannot share ${keyHeads} of keys (linear_num_key_heads)`,
      "the first must be a multiple of the second",
    );
  const delta = {
    ...{ keyHeads, heads, grouped: own.grouped },
    dk: c.count("linear_key_head_dim", 128),
    dv: c.count("linear_value_head_dim", 128),
    taps: c.count("linear_conv_kernel_dim", 4),
    types: typesOf(c, c.count("num_hidden_layers")),
  };
  c.only("attn_output_gate", true);
  const bias = c.flag("attention_bias", false);
  const inner = c.object("rope_parameters")?.partial_rotary_factor;
  const partial = typeof inner === "number" ? inner : c.number("partial_rotary_factor", 0.25);
  const keys: Json = {
    linear_num_key_heads: keyHeads,
    linear_num_value_heads: heads,
    linear_key_head_dim: delta.dk,
    linear_value_head_dim: delta.dv,
    linear_conv_kernel_dim: delta.taps,
    layer_types: delta.types,
    partial_rotary_factor: partial,
    attention_bias: bias,
  };
  return {
    delta,
    traits: {
      bias: { qkv: bias, o: bias, mlp: false },
      norm: "rms-plus-one",
      qkNorm: qkNorm("head"),
      gate: true,
      defaults: { head_dim: 256, max_position_embeddings: 32_768 },
      kinds(sizes) {
        const rope = rotary(c, { ...sizes, partial });
        return Array.from({ length: sizes.layers }, () => ({ rope }));
      },
      keys,
    },
  };
}

/** Sizes of a decoder with states. */
export const deltaNetSizes = (c: DeltaNetConfig): ModelSizes => ({
  ...decoderSizes(c),
  ...(c.delta.types.includes("linear_attention") ? { recurrent: true } : {}),
});

function deltaSpecs(c: DeltaNetConfig, prefix: string): ParameterSpec[] {
  const at = `${prefix}.linear_attn`;
  const { keyHeads, heads, dk, dv, taps, grouped } = c.delta;
  const [keys, values] = [keyHeads * dk, heads * dv];
  const linear = (name: string, out: number, into = c.width) => linearSpecs(`${at}.${name}`, out, into, c.std, false);
  return [
    { name: `${at}.dt_bias`, shape: [heads], init: "ones" },
    { name: `${at}.A_log`, shape: [heads], init: { logUpTo: MOST_RATE } },
    { name: `${at}.conv1d.weight`, shape: [2 * keys + values, 1, taps], init: { std: c.std }, small: true },
    ...(grouped
      ? [...linear("in_proj_qkvz", 2 * keys + 2 * values), ...linear("in_proj_ba", 2 * heads)]
      : [
          ...linear("in_proj_qkv", 2 * keys + values),
          ...linear("in_proj_z", values),
          ...linear("in_proj_b", heads),
          ...linear("in_proj_a", heads),
        ]),
    { name: `${at}.norm.weight`, shape: [dv], init: "ones" },
    ...linear("out_proj", c.width, values),
  ];
}

/** What a layer's state is made from, of h (N, C). */
interface Projected {
  /** (N, [q, k, v]), before the convolution. */
  readonly qkv: Tensor;
  /** (N, heads * dv): gates of what the state gives. */
  readonly z: Tensor;
  /** (N, heads) each: strength of writing, and decay. */
  readonly b: Tensor;
  readonly a: Tensor;
}

function projected(net: Net, { keyHeads, heads, dk, dv, grouped }: DeltaNetSizes, at: string, h: Tensor): Projected {
  const { rec } = net;
  const through = (name: string) => net.linear(h, `${at}.in_proj_${name}`);
  if (!grouped) return { qkv: through("qkv"), z: through("z"), b: through("b"), a: through("a") };
  const share = heads / keyHeads;
  // Of every head of keys: its query, its key, its values, their gates.
  const all = through("qkvz");
  const width = 2 * dk + 2 * share * dv;
  const part = (first: number, columns: number) =>
    joinHeads(rec, keyHeads, columns, [{ x: all, width, first, columns }]);
  const both = through("ba");
  const half = (first: number) =>
    joinHeads(rec, keyHeads, share, [{ x: both, width: 2 * share, first, columns: share }]);
  const qkv = joinColumns(rec, [part(0, dk), part(dk, dk), part(2 * dk, share * dv)]);
  return { qkv, z: part(2 * dk + share * dv, share * dv), b: half(0), a: half(share) };
}

/** Every head of x (N, heads * d) at length `length`. */
function atLength({ rec }: Net, x: Tensor, d: number, length: number): Tensor {
  const gain = rec.constant(new Float32Array(d).fill(length / Math.sqrt(d)), [d], "length of heads");
  return rmsNorm(rec, x, gain, { eps: UNIT_EPS / d });
}

/** add + out(norm(state's answer) * silu(z)) of h. (N, C) -> (N, C) */
function deltaForward(
  net: Net,
  c: DeltaNetConfig,
  { prefix, layer, inputs }: LayerPlace,
  h: Tensor,
  add?: Tensor,
): Tensor {
  const { rec } = net;
  const { keyHeads, heads, dk, dv, taps } = c.delta;
  const { batch, positions, cache } = inputs;
  const at = `${prefix}.linear_attn`;
  const { qkv, z, b, a } = projected(net, c.delta, at, h);
  const [keys, values] = [keyHeads * dk, heads * dv];
  const [own] = net.kept(layer);
  const tail = taps > 1 ? cache?.kept(`tail.${own}`, [batch, taps - 1, 2 * keys + values]) : undefined;
  const mixed = causalConv(rec, qkv, net.weight(`${at}.conv1d.weight`), { batch, positions, tail });
  const [q, k, v] = splitColumns(rec, mixed, [keys, keys, values]);
  const read = deltaRule(
    rec,
    {
      q: atLength(net, q!, dk, 1 / Math.sqrt(dk)),
      k: atLength(net, k!, dk, 1),
      v: v!,
      g: decayGates(rec, a, net.weight(`${at}.A_log`), net.weight(`${at}.dt_bias`)),
      beta: sigmoid(rec, b),
    },
    { batch, heads, keyHeads, positions, state: cache?.kept(`state.${own}`, [batch, heads, dk, dv]) },
  ); // (N, heads * dv)
  const normed = rmsNorm(rec, read, net.weight(`${at}.norm.weight`), { eps: c.eps });
  return net.linear(gated(rec, z, normed), `${at}.out_proj`, add ? { add } : {});
}

/** The attention of a block: by a state, or over all tokens. */
export const deltaNetAttention: BlockAttention<DeltaNetConfig> = {
  specs: (c, prefix, layer) =>
    c.delta.types[layer] === "linear_attention" ? deltaSpecs(c, prefix) : attentionSpecs(c, prefix),
  forward: (net, c, place, h, add) =>
    (c.delta.types[place.layer] === "linear_attention" ? deltaForward : selfAttention)(net, c, place, h, add),
};
