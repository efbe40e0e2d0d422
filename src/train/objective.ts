/** Which loss `train` minimises: of labels, of numbers, or against a fixed head. */
import type { Batch } from "../data/batch.ts";
import { UserError } from "../errors.ts";
import type { Bound } from "../method/bind.ts";
import type { Values } from "../method/options.ts";
import type { Model } from "../model/model.ts";
import { labelCounts, type ReadRows } from "../run/training/batch-source.ts";
import { classLosses } from "../run/training/class-losses.ts";
import { crossEntropyObjective, type RowWeigher } from "../run/training/cross-entropy.ts";
import { type ChosenLoss, chooseLoss, type LabelLoss } from "../run/training/label-loss.ts";
import type { Objective } from "../run/training/objective.ts";
import { regressionObjective } from "../run/training/regression.ts";
import type { SourceModulation } from "../run/training/source-modulation.ts";
import { chosenMask } from "./batches/increments.ts";
import { fixedHeadObjective } from "./heads/fixed-head.ts";
import type { PrivateHead } from "./heads/private-head.ts";
import { isSmooth, smoothObjective } from "./losses/smooth-adversarial.ts";
import type { TRAIN } from "./options.ts";
import type { Homeostat } from "./schedules/homeostat.ts";

/** Whether the model's own head learns by a loss of labels. */
export const learnsLabels = ({ method }: Bound<LabelLoss>, { task }: Model, { head }: Values<typeof TRAIN>): boolean =>
  method.own === undefined && head !== "sparse-etf" && task !== "regressor";

export const chosenLoss = (
  loss: Bound<LabelLoss>,
  model: Model,
  source: ReadRows,
  { smoothing, z_loss: zLoss, accumulate: micro }: Values<typeof TRAIN>,
): ChosenLoss =>
  chooseLoss(loss, {
    ...{ model, smoothing, zLoss, micro },
    counts: () => labelCounts(source, model.sizes.outputs),
    places: "examples" in source ? source.examples.map(({ place }) => place) : undefined,
    follows: true,
  });

export interface ObjectiveParts {
  readonly loss: Bound<LabelLoss>;
  readonly chosen: ChosenLoss | undefined;
  readonly weigher: RowWeigher | undefined;
  readonly second: PrivateHead | undefined;
  /** Whether embeddings of texts are moved. */
  readonly texts: boolean;
  readonly modulation: SourceModulation | undefined;
  /** What pushes the rate, from answers to rows. */
  readonly homeostat: Homeostat | undefined;
}

/** Throws UserError for options that change what labels are learnt by. */
function checkRegression(options: Values<typeof TRAIN>, weigher: RowWeigher | undefined): void {
  const {
    smoothing,
    z_loss: zLoss,
    head,
    mixup,
    contrastive,
    increment_mask: mask,
    adversarial,
    prequential,
  } = options;
  const odd = Object.entries({
    smoothing: smoothing > 0,
    z_loss: zLoss > 0,
    head: head !== "own",
    mixup: mixup > 0,
    contrastive: contrastive > 0,
    increment_mask: mask !== undefined,
    loss_balance: weigher !== undefined,
    adversarial,
    prequential,
    certified: options.certified !== undefined,
  }).find(([, isGiven]) => isGiven);
  if (odd)
    throw new UserError(
      `--${odd[0].replaceAll("_", "-")} is for labels, and the model predicts numbers (problem_type regression)`,
      "leave it out",
    );
}

/** The objective of a training that no option replaces whole. Throws UserError. */
export function objectiveOf(
  model: Model,
  source: ReadRows,
  options: Values<typeof TRAIN>,
  seed: number,
  { loss, chosen, weigher, second, modulation, texts, homeostat }: ObjectiveParts,
): Objective<Batch> {
  const { smoothing, z_loss: zLoss, recompute } = options;
  if (model.task === "regressor") {
    checkRegression(options, weigher);
    return regressionObjective(model, loss);
  }
  const { method } = loss;
  const classes = classLosses(model, options, seed, method.mixed ? chosen : undefined);
  if (classes && (weigher || !chosen || (options.mixup > 0 && method.name !== "ce" && !method.mixed)))
    throw new UserError(
      `--mixup and --contrastive do not go with ${weigher ? "--loss-balance" : options.head === "own" ? `--loss ${method.name}` : "--head sparse-etf"}`,
      "leave one of them out",
    );
  if (isSmooth(options) && chosen)
    return smoothObjective(model, { loss: chosen, weight: options.smooth_weight, rho: options.smooth_rho });
  const increments = chosenMask(model, source, options);
  if (options.head !== "sparse-etf")
    return crossEntropyObjective(model, {
      ...{ loss: chosen, smoothing, zLoss, recompute, increments, classes, weigher, modulation },
      ...{ statistics: "batch", accuracy: options.prequential, moved: texts },
      ...(homeostat ? { pushes: (rec, logits, targets) => homeostat.pushes(rec, logits, targets) } : {}),
    });
  if (method.name !== "ce")
    throw new UserError(
      `--head sparse-etf is trained by cross-entropy, and not by --loss ${method.name}`,
      "leave one out",
    );
  if (increments)
    throw new UserError("--increment-mask and --head sparse-etf are two objectives", "leave one of them out");
  const { etf_sparsity: sparsity, etf_steps: steps } = options;
  return fixedHeadObjective(model, { sparsity, steps, seed, smoothing, zLoss, recompute, private: second });
}
