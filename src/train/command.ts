/**
 * What the `train` script does: cross-entropy on rows of text, tokens or labelled examples, or InfoNCE on pairs of
 * texts, which is cross-entropy among the texts of a batch (model/embedder.ts).
 */
import type { Context, Outcome } from "../cli/context.ts";
import type { Batch } from "../data/batch.ts";
import { UserError } from "../errors.ts";
import type { Model } from "../model/model.ts";
import { checkPgd } from "../run/adversarial/options.ts";
import { readBatches } from "../run/training/batch-source.ts";
import { crossEntropyObjective } from "../run/training/cross-entropy.ts";
import type { Objective } from "../run/training/objective.ts";
import { runTraining } from "../run/training/run-training.ts";
import { adversarialWork } from "./adversarial.ts";
import { fixedHeadObjective } from "./fixed-head.ts";
import { chosenMask, withPromptsChanged } from "./increments.ts";
import type { TRAIN } from "./options.ts";
import { shiftWarning } from "./shift-warning.ts";

export type TrainContext = Context<typeof TRAIN>;

export function train(context: TrainContext): Promise<Outcome> {
  const { options, seed } = context;
  if (options.adversarial) checkPgd(options);
  const contrasts = options.loss === "infonce";
  if (contrasts && options.accumulate > 1)
    throw new UserError(
      "--loss infonce compares all pairs of a step with each other, and --accumulate would part them",
      "raise --batch-size in its place; --recompute makes room",
    );
  return runTraining<Batch>(context, {
    script: "train",
    balances: true,
    embeds: contrasts ? { temperature: options.temperature } : undefined,
    model: context.args[0] ?? (options.init === undefined ? "-" : undefined),
    data: async (opened) => ({ source: await readBatches(options, opened) }),
    work: async ({ model, tools }, { source }) => ({
      objective: objectiveOf(model, source, options, seed),
      controllers: shiftWarning(options, context),
      ...withPromptsChanged(source, options, { seed, pad: tools?.tokenizer?.pad }),
      ...(await adversarialWork(model, source, options, seed)),
    }),
  });
}

type Source = Parameters<typeof chosenMask>[1];

function objectiveOf(model: Model, source: Source, options: TrainContext["options"], seed: number): Objective<Batch> {
  const { smoothing, z_loss: zLoss, recompute, etf_sparsity: sparsity, etf_steps: steps } = options;
  const increments = chosenMask(model, source, options);
  if (options.head === "own")
    return crossEntropyObjective(model, { smoothing, zLoss, recompute, balance: true, increments });
  if (increments)
    throw new UserError("--increment-mask and --head sparse-etf are two objectives", "leave one of them out");
  return fixedHeadObjective(model, { sparsity, steps, seed, smoothing, zLoss, recompute });
}
