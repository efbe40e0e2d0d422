/** What can be known of a model, and refused, before its weights are read. */

import type { Checkpoint } from "../checkpoint/checkpoint.ts";
import { UserError } from "../errors.ts";
import { configOf } from "../model/description.ts";
import { architectureOf } from "../model/registry.ts";
import type { Reader } from "../run/scoring/read-rows.ts";
import { type TextOptions, textTools } from "../run/text-tools.ts";
import type { BoundMetric } from "./contract.ts";

/** Reads config and tokenizer. Throws UserError for a metric that is not for such a model. */
export async function prepare(
  checkpoint: Checkpoint,
  metrics: readonly BoundMetric[],
  options: TextOptions,
  warn: (message: string) => void,
): Promise<Reader> {
  const { ref, files } = checkpoint;
  const json = configOf(checkpoint);
  const where = `${ref}: config.json`;
  const architecture = await architectureOf(json, where);
  for (const { method } of metrics) {
    if (method.task && method.task !== architecture.task)
      throw new UserError(
        `--metric ${method.name} is not for ${ref}, a ${json.model_type} ${architecture.task}`,
        `it is for a ${method.task}`,
      );
  }
  const sizes = architecture.sizes(architecture.config(json, where));
  const isText = architecture.task === "causal-lm";
  return { sizes, tools: isText ? await textTools(files, ref, sizes, options, warn) : undefined };
}
