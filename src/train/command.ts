/** What the `train` script does: cross-entropy on rows of text, tokens or labelled examples. */

import type { CommonValues, Outcome, PlainContext } from "../cli/context.ts";
import type { Batch } from "../data/batch.ts";
import { UserError } from "../errors.ts";
import type { Values } from "../method/options.ts";
import { exampleBatches, tokenBatches } from "../run/training/batch-source.ts";
import { crossEntropyObjective } from "../run/training/cross-entropy.ts";
import { groupsOf } from "../run/training/data-source.ts";
import type { RUN } from "../run/training/options.ts";
import { type DataSetup, runTraining } from "../run/training/training.ts";

export type TrainContext = PlainContext & { readonly options: CommonValues & Values<typeof RUN> };

/** Reads --data into batches, for a language model or a classifier. */
export async function batchesOf({ options }: TrainContext, { tools, sizes, order }: DataSetup) {
  const groups = groupsOf(options.data, "--data");
  if (tools) return tokenBatches(groups, tools.encode, order, tools.tokenizer?.pad ?? 0);
  const source = await exampleBatches(groups, order);
  checkLabels(source.examples, sizes.outputs, sizes.example);
  return source;
}

export function train(context: TrainContext): Promise<Outcome> {
  const { options } = context;
  return runTraining<Batch>(context, {
    script: "train",
    model: context.args[0] ?? (options.init === undefined ? "-" : undefined),
    data: (setup) => batchesOf(context, setup),
    work: async ({ model }) => ({
      objective: crossEntropyObjective(model, {
        smoothing: options.smoothing,
        zLoss: options.z_loss,
        recompute: options.recompute,
      }),
    }),
  });
}

/** Throws UserError for a label that the classifier has no output for, or an example that it has no input for. */
export function checkLabels(
  examples: readonly { label: number; shape: readonly number[]; place: string }[],
  classes: number,
  shape?: readonly number[],
): void {
  for (const { label, place, shape: found } of examples) {
    if (label >= classes)
      throw new UserError(
        `${place}: label ${label}, but the model has ${classes} classes`,
        "set num_labels in config.json",
      );
    const size = shape?.reduce((p, q) => p * q, 1);
    const fits = shape === undefined || found.join() === shape.join() || (found.length === 1 && found[0] === size);
    if (!fits)
      throw new UserError(`${place}: the example is (${found.join(", ")}); the model takes (${shape.join(", ")})`);
  }
}
