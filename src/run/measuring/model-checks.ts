/** What can be known of a model, and refused, before its weights are read. */
import type { Checkpoint } from "../../checkpoint/checkpoint.ts";
import { UserError } from "../../errors.ts";
import type { Embedding } from "../../model/embedder.ts";
import { describeModel } from "../open-model.ts";
import type { Reader } from "../scoring/read-rows.ts";
import type { TextOptions } from "../text-tools.ts";
import type { BoundMetric } from "./metric.ts";

/** How models are read: as embedders where a metric is for such. Throws UserError where another one is not. */
export function embedsOf(metrics: readonly BoundMetric[]): Embedding | undefined {
  const asks = metrics.find(({ method }) => method.task === "embedder");
  const other = asks && metrics.find(({ method }) => method.task !== "embedder");
  if (other)
    throw new UserError(
      `--metric ${asks.method.name} compares vectors of texts, and ${other.method.name} asks for what a model predicts`,
      `run them apart, one evaluate with --metric ${asks.method.name} and one with --metric ${other.method.name}`,
    );
  return asks && {};
}

/** Reads config and tokenizer. Throws UserError for a metric that is not for such a model. */
export async function prepare(
  checkpoint: Checkpoint,
  metrics: readonly BoundMetric[],
  options: TextOptions & { readonly zeroshot_head?: string | undefined },
  warn: (message: string) => void,
): Promise<Reader> {
  const embeds = embedsOf(metrics);
  const described = await describeModel({ ...checkpoint, embeds }, options, warn);
  const { task, json, ref, architecture } = described;
  if (options.zeroshot_head !== undefined && !architecture.beside)
    throw new UserError(
      `--zeroshot-head is for a CLIP; ${ref} is a ${architecture.name}`,
      "its own head tells its classes",
    );
  for (const { method } of metrics) {
    if (task === "regressor" && method.task !== task)
      throw new UserError(
        `--metric ${method.name} is not for ${ref}, which predicts numbers (problem_type regression)`,
        "--metric mse, mae and r2 are",
      );
    if (method.task && method.task !== task)
      throw new UserError(
        `--metric ${method.name} is not for ${ref}, a ${json.model_type} ${task}`,
        `it is for a ${method.task}`,
      );
  }
  return described;
}
