/**
 * `train --ffn duo`: a llama gets a small feed-forward network beside the big one of every block and is trained as a
 * duo_decoder (model/blocks/duo.ts): its weights as they were, the small networks drawn anew. Alizadeh et al., Duo-LLM,
 * 2024, https://arxiv.org/abs/2410.10846
 */
import { UserError } from "../../errors.ts";
import type { Values } from "../../method/options.ts";
import type { ConfigChange } from "../../run/training/config-change.ts";
import type { TRAIN } from "../options.ts";

type Options = Values<typeof TRAIN>;

/** The config with small networks; undefined where none are asked for. Throws UserError for what is beside it. */
export function withSmallNetworks(options: Options): ConfigChange | undefined {
  if (options.ffn === undefined) return undefined;
  const other = [
    (options.lora || options.lora_continue || options.adapter !== undefined) && "an adapter",
    options.new_front && "--new-front",
    options.heads !== "one" && `--heads ${options.heads}`,
    options.dynamic_width && `--dynamic-width ${options.dynamic_width}`,
    options.prune && `--prune ${options.prune}`,
    options.supernet && `--supernet ${options.supernet}`,
  ].find((flag) => flag);
  if (other)
    throw new UserError(
      `--ffn duo trains all weights of a model and its new networks, and ${other} does not`,
      "leave one of them out",
    );
  return (json, { ref }) => {
    const { architectures: _, ...kept } = json;
    if (json.model_type !== "llama")
      throw new UserError(
        `--ffn duo adds small networks to a llama, and ${ref} is a ${json.model_type}`,
        json.model_type === "duo_decoder" ? "leave it out: the model has them" : "give a llama",
      );
    const small = options.ffn_small === undefined ? {} : { small_intermediate_size: options.ffn_small };
    return { ...kept, model_type: "duo_decoder", ...small, skip_probability: options.ffn_skip };
  };
}
