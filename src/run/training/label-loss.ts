/**
 * What a loss of labels is: a function from the logits of rows and their labels to a number each, or to one of a whole
 * batch; or a loss of numbers, from the outputs of a regressor and what they should be. Every file of
 * train/methods/losses exports one as `method`: `--loss focal` is focal.ts. Scripts that learn labels take any of them
 * in the place of cross-entropy.
 */
import type { Batch } from "../../data/batch.ts";
import { UserError } from "../../errors.ts";
import type { Bound } from "../../method/bind.ts";
import { type Laws, sameClaim } from "../../method/laws.ts";
import type { Options, Values } from "../../method/options.ts";
import type { MethodInfo } from "../../method/registry.ts";
import type { Embedding } from "../../model/embedder.ts";
import type { Model } from "../../model/model.ts";
import type { CrossEntropyOptions } from "../../tensor/ops/cross-entropy.ts";
import { chunkedHead } from "../../tensor/ops/head-loss.ts";
import type { Parameter } from "../../tensor/parameter.ts";
import type { Recorder } from "../../tensor/recorder.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import type { ConfigChange } from "./config-change.ts";
import type { Controller } from "./controller.ts";
import type { Objective } from "./objective.ts";
import { RowNumbers } from "./row-numbers.ts";
import type { UpdateRule } from "./update-rule.ts";

/** What may hold for a loss, under its defaults. */
export const LABEL_LOSS_LAWS = {
  shiftFree: "a constant added to all logits of a row changes nothing",
  favours: "it falls as the label's logit grows, and grows or stays as another does",
  vanishes: "it goes to 0 where the label is certain",
  bounded: "logits of ten thousand give finite losses and gradients",
  ownRow: "a row's loss is of its own logits alone",
} as const;

/** The claims of a loss to which no law applies, and why. */
export const noLaws = (why: string): Laws<LabelLossLaw> => sameClaim(LABEL_LOSS_LAWS, why);

export type LabelLossLaw = keyof typeof LABEL_LOSS_LAWS;

export interface LabelGiven<O extends Options = Options> {
  /** (N, V) */
  readonly logits: Tensor;
  /** (N) i32; what is said of rows with a negative one does not count. */
  readonly targets: Tensor;
  readonly values: Values<O>;
  /** (V) how often each label comes in the training data; of losses that have `counts`. */
  readonly counts: readonly number[];
  /** The rows' numbers (N), and what sets them anew; of losses that have `perRow`. */
  readonly row?: { readonly before: Tensor; set(now: Tensor): void } | undefined;
  /** Label smoothing and the weight of the squared log-partition; of losses that have `softens`. */
  readonly softened: CrossEntropyOptions;
}

export interface LabelLoss<O extends Options = Options> extends MethodInfo<O> {
  readonly laws: Laws<LabelLossLaw>;
  /** Whether it reads how often labels come. */
  readonly counts?: true;
  /** A number of each row that lasts from visit to visit: what it begins with. Of classifiers in `train` alone. */
  perRow?(values: Values<O>): number;
  /** Where these numbers are written at the end, which option says so, and what they are called there. */
  keeps?(values: Values<O>): { readonly file: string; readonly option: string; readonly key: string } | undefined;
  /**
   * Numbers that its rows take as dynamic, by the share of the steps that is done, from 0 to below 1; undefined where
   * none change. Of `train` alone.
   */
  course?(values: Values<O>): ((done: number) => Readonly<Record<string, number>>) | undefined;
  /** Whether --smoothing and --z-loss are a part of it. */
  readonly softens?: true;
  /** Refuses values that do not fit together, and models of so many outputs. Throws UserError. */
  check?(values: Values<O>, model: { readonly outputs: number; readonly isClassifier: boolean }): void;
  /** Losses of rows (N). */
  rows?(rec: Recorder, given: LabelGiven<O>): Tensor;
  /**
   * Losses of rows (N) that are mixed of two labels' (mixup.ts), in the place of those of either label in proportion.
   * `apart` is 1 where the labels differ.
   */
  mixed?(
    rec: Recorder,
    given: Pick<LabelGiven<O>, "logits" | "targets" | "values" | "softened"> &
      Readonly<Record<"others" | "shares" | "rests" | "apart", Tensor>>,
  ): Tensor;
  /** The loss of all rows at once, (1), each of which counts. */
  batch?(rec: Recorder, given: LabelGiven<O>): Tensor;
  /** Of regressors alone: losses of rows (N) from their errors, found minus wanted (N, K). */
  errors?(rec: Recorder, given: { readonly errors: Tensor; readonly values: Values<O> }): Tensor;
  /** What it knows of rows that were seen, in the place of `perRow`. */
  readonly remembers?: string;
  /** Of `train` alone: an objective of its own, of more than logits. Throws UserError for models that do not fit. */
  own?(given: OwnLossGiven<O>): OwnLoss | Promise<OwnLoss>;
  /** Of `own`: that it compares the rows of a batch with each other, which --accumulate would part. */
  readonly whole?: true;
  /** Of `train` alone: what it makes of the model's config; undefined where it stays. */
  changed?(values: Values<O>): ConfigChange | undefined;
  /** Of `own`: that it trains denoisers. */
  readonly denoises?: true;
  /** Of `train` alone: the model is trained as an embedder of pairs, whose logits compare texts. */
  embeds?(values: Values<O>): Embedding;
}

/** What a loss with an objective of its own is made of. */
export interface OwnLossGiven<O extends Options = Options> {
  readonly model: Model;
  readonly values: Values<O>;
  /** Label smoothing and the weight of the squared log-partition; of losses that have `softens`. */
  readonly softened: CrossEntropyOptions;
  /** Where the rows of examples were read; undefined where there are none. */
  readonly places: readonly string[] | undefined;
  /** Names of the groups of rows; none when left out. */
  readonly groups?: readonly string[];
  /** Whether the training begins here: neither a dry run nor one that goes on. It does not when left out. */
  readonly begins?: boolean;
  /** Most rows of a batch. */
  readonly batch: number;
  readonly steps: number;
  readonly seed: number;
  readonly recompute: boolean;
}

/** An objective, and what takes part in it. */
export interface OwnLoss {
  readonly objective: Objective<Batch>;
  readonly updates?: readonly UpdateRule[];
  readonly controllers?: readonly Controller[];
  /** Trained beside the model, and left out of the result; freed with the training. */
  readonly extra?: readonly Parameter[];
}

export const defineLabelLoss = <const O extends Options>(loss: LabelLoss<O>): LabelLoss<O> => loss;

/** A loss with what it reads of the training data. */
export interface ChosenLoss {
  readonly loss: Bound<LabelLoss>;
  readonly counts: readonly number[];
  readonly softened: CrossEntropyOptions;
  /** Of a loss that has `perRow`. */
  readonly numbers?: RowNumbers | undefined;
}

/** Losses of rows of logits (N). Throws TypeError for a loss of whole batches. */
export function labelRows(
  rec: Recorder,
  { loss, counts, softened }: ChosenLoss,
  logits: Tensor,
  targets: Tensor,
  row?: LabelGiven["row"],
) {
  const { method, values } = loss;
  if (!method.rows) throw new TypeError(`the loss ${method.name} is of whole batches`);
  return method.rows(rec, { logits, targets, values, counts, softened, row });
}

/** The loss of a batch (1). Throws TypeError for a loss of rows. */
export function wholeBatch(rec: Recorder, { loss, counts, softened }: ChosenLoss, logits: Tensor, targets: Tensor) {
  const { method, values } = loss;
  if (!method.batch) throw new TypeError(`the loss ${method.name} is of rows`);
  return method.batch(rec, { logits, targets, values, counts, softened });
}

/** Losses of all rows of hidden states (N), some rows of logits at a time. */
export const labelLosses = (
  rec: Recorder,
  chosen: ChosenLoss,
  {
    targets,
    ...given
  }: {
    readonly hidden: Tensor;
    readonly head: (hidden: Tensor) => Tensor;
    readonly width: number;
    readonly targets: Tensor;
    readonly budget?: number;
  },
): Tensor =>
  chunkedHead(rec, {
    ...given,
    along: [targets],
    loss: (logits, [labels]) => labelRows(rec, chosen, logits, labels!),
  });

/**
 * The loss that options name for a script that learns labels by it. Throws UserError for a loss that fits neither the
 * script, the model nor the other options.
 */
export function chooseLoss(
  loss: Bound<LabelLoss>,
  {
    model,
    smoothing = 0,
    zLoss = 0,
    counts,
    places,
    micro,
    part = false,
    follows = false,
  }: {
    readonly model: Model;
    readonly smoothing?: number | undefined;
    readonly zLoss?: number | undefined;
    /** How often labels come; undefined where the script does not know it. */
    readonly counts: (() => readonly number[]) | undefined;
    /** Where the rows of examples were read; undefined where there are none, or the script does not know. */
    readonly places?: readonly string[] | undefined;
    /** Micro-batches of a step. */
    readonly micro: number;
    /** Whether it is one of several terms, each of rows. */
    readonly part?: boolean;
    /** Whether it gives a loss the numbers that change with the steps. */
    readonly follows?: boolean;
  },
): ChosenLoss {
  const { method, values } = loss;
  const flag = `--loss ${method.name}`;
  if (method.errors)
    throw new UserError(
      `${flag} is a loss of numbers, and ${model.architecture.name} as it is here predicts none`,
      "problem_type regression in the config of an mlp makes it predict num_labels numbers; else take another loss",
    );
  if (!method.rows && !method.batch)
    throw new UserError(`${flag} is no loss of labels and logits`, `see bun run train --loss ${method.name} --help`);
  if ((smoothing > 0 || zLoss > 0) && !method.softens)
    throw new UserError(
      `${smoothing > 0 ? "--smoothing" : "--z-loss"} is a part of cross-entropy, and ${flag} is another loss`,
      "leave one of them out",
    );
  if (method.counts && !counts)
    throw new UserError(`${flag} reads how often labels come in --data, which this script does not count`);
  if (method.batch && part)
    throw new UserError(`${flag} is a number of the whole batch, and here losses are of rows`, "take another loss");
  if (method.batch && micro > 1)
    throw new UserError(
      `${flag} is a number of the whole batch, and --accumulate would part it`,
      "raise --batch-size in its place",
    );
  if (method.perRow && (part || !places || model.task !== "classifier"))
    throw new UserError(
      `${flag} remembers a number of every row of a classifier's data`,
      "bun run train --loss aldr with rows of x, image or text and a label",
    );
  if (!follows && method.course?.(values))
    throw new UserError(`${flag} changes with the steps of \`train\`, and this script does not tell it of them`);
  method.check?.(values, { outputs: model.sizes.outputs, isClassifier: model.task === "classifier" });
  return {
    loss,
    counts: method.counts ? counts!() : [],
    ...(method.perRow ? { numbers: new RowNumbers(model.gpu, places!, method.perRow(values)) } : {}),
    softened: { ...(smoothing > 0 ? { smoothing } : {}), ...(zLoss > 0 ? { zLoss } : {}) },
  };
}

/** Why a loss cannot be taken apart by groups of rows, if so. */
export function wholeLoss({ name, batch, embeds, own, perRow }: LabelLoss): string | undefined {
  if (batch || embeds || own) return `--loss ${name} is of whole batches`;
  return perRow ? `--loss ${name} remembers a number of every row` : undefined;
}

/** The option that names it. */
export const LABEL_LOSS = {
  loss: {
    type: "string",
    kind: "loss",
    default: "ce",
    help: "what is minimised: ce is the cross-entropy of tokens or labels",
  },
} as const satisfies Options;

declare module "../../method/registry.ts" {
  interface Contracts {
    loss: LabelLoss;
  }
}
