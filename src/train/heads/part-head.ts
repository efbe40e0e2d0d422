/**
 * `train --part-head K`: what an `mlp` with `input_parts` learnt of one part, under a head of its own with K outputs.
 * The result is an `mlp` of one part; the head alone is trained, and the hidden layers stay as they are to the bit. So
 * a policy is learnt from few demonstrations on a state that told which action lies between two observations. "Inverse
 * Dynamics Pretraining Learns Good Representations for Multitask Imitation", NeurIPS 2023,
 * https://arxiv.org/abs/2305.16985
 */
import { UserError } from "../../errors.ts";
import type { Values } from "../../method/options.ts";
import type { ConfigChange } from "../../run/training/config-change.ts";
import type { TRAIN } from "../options.ts";

/** What it makes of the config, and patterns of the weights that are trained. */
export interface PartHead {
  readonly changed: ConfigChange;
  readonly trains: () => Promise<string[]>;
}

/** Undefined where none is asked for. Throws UserError for options that do not go with it. */
export function partHead(options: Values<typeof TRAIN>): PartHead | undefined {
  const { part_head: outputs } = options;
  if (outputs === undefined) return undefined;
  const other = [
    options.new_front && "--new-front",
    options.train_only !== undefined && "--train-only",
    options.freeze !== undefined && "--freeze",
    options.heads !== "one" && `--heads ${options.heads}`,
    options.init !== undefined && "--init",
    (options.lora || options.lora_continue || options.adapter !== undefined) && "an adapter",
  ].find((flag) => flag);
  if (other)
    throw new UserError(
      `--part-head trains a head on what a trained model makes of one part, and ${other} says otherwise`,
      "leave one out",
    );
  return {
    changed(json, { ref }) {
      const { input_parts: parts, joint_sizes: _, input_size: input, ...rest } = json;
      if (json.model_type !== "mlp" || typeof parts !== "number" || parts < 2 || typeof input !== "number")
        throw new UserError(
          `--part-head is for an mlp with input_parts, and ${ref} is ${json.model_type === "mlp" ? "one without" : `a ${json.model_type}`}`,
          'begin with "model_type": "mlp" and "input_parts": 2 in config.json',
        );
      return { ...rest, input_size: input / parts, num_labels: outputs };
    },
    trains: async () => ["classifier.*"],
  };
}
