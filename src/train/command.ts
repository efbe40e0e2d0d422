/** What the `train` script does: cross-entropy on rows of text, tokens or labelled examples. */
import type { Context, Outcome } from "../cli/context.ts";
import type { Batch } from "../data/batch.ts";
import { readBatches } from "../run/training/batch-source.ts";
import { crossEntropyObjective } from "../run/training/cross-entropy.ts";
import type { RUN } from "../run/training/options.ts";
import { runTraining } from "../run/training/run-training.ts";

export type TrainContext = Context<typeof RUN>;

export function train(context: TrainContext): Promise<Outcome> {
  const { options } = context;
  return runTraining<Batch>(context, {
    script: "train",
    balances: true,
    model: context.args[0] ?? (options.init === undefined ? "-" : undefined),
    data: async (opened) => ({ source: await readBatches(options, opened) }),
    work: async ({ model }) => ({
      objective: crossEntropyObjective(model, {
        smoothing: options.smoothing,
        zLoss: options.z_loss,
        recompute: options.recompute,
        balance: true,
      }),
    }),
  });
}
