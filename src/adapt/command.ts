/** What the `adapt` script does: it trains an adapter, or learns one task after another. */
import type { Context, Outcome } from "../cli/context.ts";
import type { Batch } from "../data/batch.ts";
import { UserError } from "../errors.ts";
import { labelCounts, type ReadRows, readBatches } from "../run/training/batch-source.ts";
import { classLosses } from "../run/training/class-losses.ts";
import { crossEntropyObjective } from "../run/training/cross-entropy.ts";
import { chooseGradientRules } from "../run/training/gradient-rule.ts";
import { chooseLoss, wholeLoss } from "../run/training/label-loss.ts";
import { runTraining } from "../run/training/run-training.ts";
import type { TrainingData } from "../run/training/technique.ts";
import { runStream } from "./continual/run.ts";
import type { ADAPT } from "./options.ts";

type AdaptContext = Context<typeof ADAPT, "continual">;

export async function adapt(context: AdaptContext): Promise<Outcome> {
  const { options, method } = context;
  if (options.tasks !== undefined) {
    if (options.loss !== "ce")
      throw new UserError(`--tasks are learnt by cross-entropy, and not by --loss ${options.loss}`, "leave it out");
    if (options.gradient_rule)
      throw new UserError("--gradient-rule is for one training, and --tasks are several", "leave one of them out");
    return runStream(context, method!);
  }
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
  const loss = context.picks.loss[0]!;
  return runTraining<Batch, TrainingData<Batch> & { readonly source: ReadRows }>(asked, {
    script: "adapt",
    model: context.args[0] ?? "-",
    data: async (opened) => ({ source: await readBatches(options, opened) }),
    work: async ({ model, gpu }, { source }) => {
      const { smoothing, z_loss: zLoss, recompute } = options;
      const counts = () => labelCounts(source, model.sizes.outputs);
      const chosen = chooseLoss(loss, { model, smoothing, zLoss, counts, micro: options.accumulate });
      const classes = classLosses(model, options, context.seed, loss.method.mixed ? chosen : undefined);
      if (classes && loss.method.name !== "ce" && !loss.method.mixed)
        throw new UserError(
          `--mixup and --contrastive do not go with --loss ${loss.method.name}`,
          "leave one of them out",
        );
      return chooseGradientRules(context.picks.gradient_rule, {
        objective: crossEntropyObjective(model, {
          loss: chosen,
          ...{ smoothing, zLoss, recompute, classes },
        }),
        groups: source.groups.map(({ name }) => name),
        shared: options.gradient_shared,
        packs: options.pack,
        refuses: wholeLoss(loss.method) ?? (classes ? "--mixup and --contrastive join rows of all groups" : undefined),
        ...{ gpu, parameters: model.trainable(), seed: context.seed },
      });
    },
  });
}
