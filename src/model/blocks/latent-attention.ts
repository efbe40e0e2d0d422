/**
 * Multi-head latent attention: keys and values come from one narrow vector per token, and one part of the keys, the
 * part that turns with the position, is that of all heads. DeepSeek-V2, https://arxiv.org/abs/2405.04434
 *
 * A head's q and k are [nope, rope], its v has a width of its own. Attention runs on heads of the wider of the two,
 * filled up with zeros. Decoding keeps the narrow vectors in place of keys and values.
 */
import { splitColumns } from "../../tensor/ops/columns.ts";
import { joinHeads } from "../../tensor/ops/heads.ts";
import { attentionCached, cacheWrite } from "../../tensor/ops/kv-cache.ts";
import { latentAttention } from "../../tensor/ops/latent.ts";
import { rmsNorm } from "../../tensor/ops/norm.ts";
import { rope } from "../../tensor/ops/rope.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import type { Json, Net, ParameterSpec } from "../architecture.ts";
import { type ConfigReader, numberIn } from "../config.ts";
import { type LayerPlace, linearSpecs } from "./decoder.ts";
import type { DecoderConfig, DecoderOwn } from "./decoder-config.ts";
import { rotary } from "./rotary.ts";

export interface LatentSizes {
  /** Width between the two matrices that give queries; undefined: one matrix. */
  readonly queryRank: number | undefined;
  /** Width of the vector that keys and values come from. */
  readonly rank: number;
  /** Values of a head's q and k that do not turn, and that do. */
  readonly still: number;
  readonly turning: number;
  /** Values of a head's v. */
  readonly values: number;
}

export type LatentConfig = DecoderConfig & { readonly latent: LatentSizes };

/** Norms inside the attention have this epsilon, whatever config.json says of the others. */
const EPS = 1e-6;

/** 0.1 m ln(factor) + 1, by which YaRN enlarges q k^T; 1 without `mscale_all_dim`. */
function enlargement(c: ConfigReader): number {
  const scaling = c.object("rope_scaling") ?? c.object("rope_parameters");
  const kind = scaling?.rope_type ?? scaling?.type ?? "default";
  if (!scaling || kind === "default" || !scaling.mscale_all_dim) return 1;
  const factor = numberIn(scaling.factor, c.where, "rope_scaling.factor");
  const m = numberIn(scaling.mscale_all_dim, c.where, "rope_scaling.mscale_all_dim");
  return factor <= 1 ? 1 : 0.1 * m * Math.log(factor) + 1;
}

/** Reads the sizes, and what of a decoder follows from them. `own` are values of keys that a config leaves out. */
export function latentTraits(
  c: ConfigReader,
  own: LatentSizes & { readonly interleaved: boolean },
): { readonly latent: LatentSizes; readonly traits: Omit<DecoderOwn, "tied"> } {
  const latent = {
    queryRank: c.isNull("q_lora_rank") ? undefined : c.count("q_lora_rank", own.queryRank),
    rank: c.count("kv_lora_rank", own.rank),
    still: c.count("qk_nope_head_dim", own.still),
    turning: c.count("qk_rope_head_dim", own.turning),
    values: c.count("v_head_dim", own.values),
  };
  const { queryRank, rank, still, turning, values } = latent;
  c.only("head_dim", turning);
  c.only("qk_head_dim", still + turning);
  const bias = c.flag("attention_bias", false);
  const interleaved = c.flag("rope_interleave", own.interleaved);
  const keys: Json = {
    q_lora_rank: queryRank ?? null,
    kv_lora_rank: rank,
    qk_nope_head_dim: still,
    qk_rope_head_dim: turning,
    v_head_dim: values,
    attention_bias: bias,
  };
  return {
    latent,
    traits: {
      bias: { qkv: bias, o: bias, mlp: false },
      attentionScale: enlargement(c) ** 2 / Math.sqrt(still + turning),
      defaults: { head_dim: turning },
      kinds(sizes) {
        const table = rotary(c, { ...sizes, headDim: turning, interleaved });
        return Array.from({ length: sizes.layers }, () => ({ rope: table }));
      },
      keys,
    },
  };
}

export function latentSpecs(c: LatentConfig, prefix: string): ParameterSpec[] {
  const at = `${prefix}.self_attn`;
  const { queryRank, rank, still, turning, values } = c.latent;
  const queries = c.heads * (still + turning);
  const linear = (name: string, out: number, into: number, bias: boolean) =>
    linearSpecs(`${at}.${name}`, out, into, c.std, bias);
  const norm = (name: string, width: number): ParameterSpec => ({
    ...{ name: `${at}.${name}.weight`, shape: [width], init: "ones" },
  });
  return [
    ...(queryRank === undefined
      ? linear("q_proj", queries, c.width, false)
      : [
          ...linear("q_a_proj", queryRank, c.width, c.bias.qkv),
          norm("q_a_layernorm", queryRank),
          ...linear("q_b_proj", queries, queryRank, false),
        ]),
    ...linear("kv_a_proj_with_mqa", rank + turning, c.width, c.bias.qkv),
    norm("kv_a_layernorm", rank),
    ...linear("kv_b_proj", c.heads * (still + values), rank, false),
    ...linear("o_proj", c.width, c.heads * values, c.bias.o),
  ];
}

/** add + o(attention(q, k, v)) of h. (N, C) -> (N, C) */
export function latentForward(
  net: Net,
  c: LatentConfig,
  { prefix, layer, inputs }: LayerPlace,
  h: Tensor,
  add?: Tensor,
): Tensor {
  const { rec } = net;
  const { heads } = c;
  const { queryRank, rank, still, turning } = c.latent;
  const at = `${prefix}.self_attn`;
  const inner = (x: Tensor, name: string) => rmsNorm(rec, x, net.weight(`${at}.${name}.weight`), { eps: EPS });
  const length = inputs.cache?.capacity ?? inputs.length;
  const tables = c.kinds[layer]!.rope!;
  const turned = (x: Tensor, heads: number) =>
    rope(rec, x, inputs.positions, { heads, headDim: turning, tables, length, rowLength: inputs.length });

  const q =
    queryRank === undefined
      ? net.linear(h, `${at}.q_proj`)
      : net.linear(inner(net.linear(h, `${at}.q_a_proj`), "q_a_layernorm"), `${at}.q_b_proj`); // (N, H [nope, rope])
  const [latent, keyPart] = splitColumns(rec, net.linear(h, `${at}.kv_a_proj_with_mqa`), [rank, turning]);
  const queryPart = joinHeads(rec, heads, turning, [{ x: q, width: still + turning, first: still, columns: turning }]);
  const parts: Parts = {
    ...{ q, turned: turned(queryPart, heads) },
    ...{ latent: inner(latent!, "kv_a_layernorm"), key: turned(keyPart!, 1) },
  };
  const out = inputs.cache ? cached(net, c, { at, layer, inputs }, parts) : attended(net, c, { at, layer }, parts);
  return net.linear(out, `${at}.o_proj`, add ? { add } : {});
}

/** What attention is made of, before keys and values are. */
interface Parts {
  /** (N, H [still, turning]), of which the second part has not turned. */
  readonly q: Tensor;
  /** (N, H * turning) */
  readonly turned: Tensor;
  /** (N, rank), normalised, and (N, turning), turned: what one token's keys and values come from. */
  readonly latent: Tensor;
  readonly key: Tensor;
}

/** Queries, keys and values of heads of one width, filled up with zeros. Rows of keys may be others than of queries. */
function wholeHeads(net: Net, c: LatentConfig, at: string, { q, turned, latent, key }: Parts) {
  const { rec } = net;
  const { heads } = c;
  const { still, turning, values } = c.latent;
  const kv = net.linear(latent, `${at}.kv_b_proj`); // (rows, H [still, values])
  const headDim = Math.max(still + turning, values);
  const whole = (x: Tensor, width: number, part: Tensor) =>
    joinHeads(rec, heads, headDim, [
      { x, width, first: 0, columns: still },
      { x: part, width: turning, first: 0, columns: turning },
    ]);
  return {
    q: whole(q, still + turning, turned),
    k: whole(kv, still + values, key),
    v: joinHeads(rec, heads, headDim, [{ x: kv, width: still + values, first: still, columns: values }]),
    options: { heads, kvHeads: heads, headDim, ...(c.attentionScale ? { scale: c.attentionScale } : {}) },
  };
}

/** The columns of heads (N, H * headDim) that are values. */
const valuesOf = (net: Net, { heads, latent: { values } }: LatentConfig, mixed: Tensor, headDim: number): Tensor =>
  joinHeads(net.rec, heads, values, [{ x: mixed, width: headDim, first: 0, columns: values }]);

/** -> (N, H * values) */
function attended(
  net: Net,
  c: LatentConfig,
  { at, layer }: { readonly at: string; readonly layer: number },
  parts: Parts,
): Tensor {
  const { q, k, v, options } = wholeHeads(net, c, at, parts);
  return valuesOf(net, c, net.attend(q, k, v, { layer, causal: true, ...options }), options.headDim);
}

/**
 * Over a cache that holds a token's latent vector and the part of its key that turns. One new token a row meets it as
 * it is; for more, keys and values are made of the whole cache again, in memory that all layers share.
 */
function cached(
  net: Net,
  c: LatentConfig,
  { at, layer, inputs }: { readonly at: string } & Pick<LayerPlace, "layer" | "inputs">,
  parts: Parts,
): Tensor {
  const { rec } = net;
  const { heads } = c;
  const { rank, still, turning } = c.latent;
  const memory = inputs.cache!;
  const { positions } = inputs;
  const width = rank + turning;
  const shape = { batch: memory.batch, capacity: memory.capacity };
  const [own, ...others] = net.kept(layer);
  const entries = (at: number) => memory.kept(`latent.${at}`, [shape.batch, shape.capacity, width]);
  const cache = entries(own);
  const entry = joinHeads(rec, 1, width, [
    { x: parts.latent, width: rank, first: 0, columns: rank },
    { x: parts.key, width: turning, first: 0, columns: turning },
  ]);
  cacheWrite(rec, entry, cache, positions, shape);
  for (const other of others) cacheWrite(rec, entry, entries(other), positions, shape);
  const weight = inputs.length === 1 ? net.matrix(`${at}.kv_b_proj`) : undefined;
  if (weight) {
    const { q, turned } = parts;
    const scale = c.attentionScale ?? 1 / Math.sqrt(still + turning);
    return latentAttention(rec, { q, turned, weight, cache, positions }, { ...c.latent, heads, scale }, shape);
  }
  const [latent, key] = splitColumns(rec, rec.reshape(cache, [shape.batch * shape.capacity, width]), [rank, turning]);
  const { q, k, v, options } = wholeHeads(net, c, at, { ...parts, latent: latent!, key: key! });
  const mixed = attentionCached(rec, q, k, v, positions, { ...shape, ...options });
  return valuesOf(net, c, mixed, options.headDim);
}
