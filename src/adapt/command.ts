/** What the `adapt` script does: it trains an adapter, or learns one task after another. */
import type { Context, Outcome } from "../cli/context.ts";
import type { Batch } from "../data/batch.ts";
import { UserError } from "../errors.ts";
import { readBatches } from "../run/training/batch-source.ts";
import { classLosses } from "../run/training/class-losses.ts";
import { crossEntropyObjective } from "../run/training/cross-entropy.ts";
import { runTraining } from "../run/training/run-training.ts";
import { runStream } from "./continual/run.ts";
import type { ADAPT } from "./options.ts";

type AdaptContext = Context<typeof ADAPT, "continual">;

export async function adapt(context: AdaptContext): Promise<Outcome> {
  const { options, method } = context;
  if (options.tasks !== undefined) return runStream(context, method!);
  if (options.method !== undefined)
    throw new UserError(
      `--method ${options.method} learns one task after another, and there are no tasks`,
      "--tasks a.jsonl,b.jsonl",
    );
  return trainAdapter(context);
}

/** Trains as `train` does, through LoRA where no adapter is named. */
function trainAdapter(context: AdaptContext): Promise<Outcome> {
  const { options } = context;
  const lora = options.lora || (options.adapter === undefined && !options.lora_continue);
  const asked = { ...context, options: { ...options, lora } };
  return runTraining<Batch>(asked, {
    script: "adapt",
    balances: true,
    model: context.args[0] ?? "-",
    data: async (opened) => ({ source: await readBatches(options, opened) }),
    work: async ({ model }) => ({
      objective: crossEntropyObjective(model, {
        smoothing: options.smoothing,
        zLoss: options.z_loss,
        recompute: options.recompute,
        balance: true,
        classes: classLosses(model, options, context.seed),
      }),
    }),
  });
}
