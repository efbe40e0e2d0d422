/** Which parts of a model's attention weights belong to a head. */
import { UserError } from "../../errors.ts";
import type { Model } from "../../model/model.ts";
import type { Parameter } from "../../tensor/parameter.ts";

/** What makes queries, keys and values, together or apart. */
const INTO_HEADS =
  /\.(q_proj|k_proj|v_proj|qkv_proj|c_attn|query_key_value|(self|attention)\.(query|key|value)|[qkv]_lin)\.(weight|bias)$/;

/** What reads all heads, side by side. */
const OUT_OF_HEADS =
  /\.((self_attn|linear_attn)\.(o_proj|out_proj)|attn\.c_proj|attention\.dense|attention\.output\.dense|out_lin)\.weight$/;

const numberIn = (json: Readonly<Record<string, unknown>>, ...keys: string[]): number | undefined =>
  keys.map((key) => json[key]).find((value): value is number => typeof value === "number");

/** How many heads of queries there are, and of keys and values. */
export interface HeadCounts {
  readonly heads: number;
  readonly kv: number;
}

/** Throws UserError for a model without heads whose parts of the weights are known. */
export function headCounts({ json }: Pick<Model, "json">): HeadCounts {
  const heads = numberIn(json, "num_attention_heads", "n_head", "n_heads");
  if (heads === undefined || numberIn(json, "kv_lora_rank") !== undefined)
    throw new UserError(
      `${String(json.model_type)} has no attention whose heads are rows of its weights`,
      "take units of another kind",
    );
  return { heads, kv: numberIn(json, "num_key_value_heads") ?? heads };
}

/** Values of a head. Throws UserError for a model without heads of one size. */
export function headSize({ json, sizes }: Pick<Model, "json" | "sizes">): number {
  const { heads } = headCounts({ json });
  return numberIn(json, "head_dim") ?? sizes.width / heads;
}

/** Whether neighbouring outputs of the weight, so many as a head has values, are a head's. */
export const makesHeads = ({ name }: Pick<Parameter, "name">): boolean => INTO_HEADS.test(name);

/**
 * A value of every head as values of the outputs that make it, (rows); a head of keys takes the largest of the heads
 * that read it. Undefined for a weight whose rows are not counted so.
 */
export function overRows(
  { name }: Pick<Parameter, "name">,
  rows: number,
  heads: Float32Array,
  kv: number,
): Float32Array | undefined {
  const keys = Float32Array.from({ length: kv }, (_, i) => {
    const readers = heads.length / kv;
    return Math.max(...heads.subarray(i * readers, (i + 1) * readers));
  });
  // Queries, keys and values in turn; or, of GPT-NeoX, all three of each head together.
  const isFused = /\.(qkv_proj|c_attn)\./.test(name);
  const isKeys = /\.(k_proj|v_proj)\./.test(name);
  const units = isFused ? [...heads, ...keys, ...keys] : isKeys ? keys : heads;
  const size = rows / units.length;
  return Number.isInteger(size)
    ? Float32Array.from({ length: rows }, (_, i) => units[Math.floor(i / size)]!)
    : undefined;
}

/** Whether neighbouring inputs of the weight, so many as a head has values, are a head's. */
export const readsHeads = ({ name }: Pick<Parameter, "name">): boolean => OUT_OF_HEADS.test(name);
