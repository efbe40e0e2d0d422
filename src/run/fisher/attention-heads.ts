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

/** Values of a head. Throws UserError for a model without heads of one size. */
export function headSize({ json, sizes }: Pick<Model, "json" | "sizes">): number {
  const heads = numberIn(json, "num_attention_heads", "n_head", "n_heads");
  if (heads === undefined || numberIn(json, "kv_lora_rank") !== undefined)
    throw new UserError(
      `${String(json.model_type)} has no attention whose heads are rows of its weights`,
      "take units of another kind",
    );
  return numberIn(json, "head_dim") ?? sizes.width / heads;
}

/** Whether neighbouring outputs of the weight, so many as a head has values, are a head's. */
export const makesHeads = ({ name }: Pick<Parameter, "name">): boolean => INTO_HEADS.test(name);

/** Whether neighbouring inputs of the weight, so many as a head has values, are a head's. */
export const readsHeads = ({ name }: Pick<Parameter, "name">): boolean => OUT_OF_HEADS.test(name);
