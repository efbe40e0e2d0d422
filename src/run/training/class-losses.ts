/**
 * Losses for classifiers of few rows, beside the labels' cross-entropy: mixup of what the head reads, and a supervised
 * contrastive loss. Verma et al., ICML 2019, https://arxiv.org/abs/1806.05236 (mixup of hidden states, after Zhang et
 * al. 2018, https://arxiv.org/abs/1710.09412); Khosla et al., NeurIPS 2020, https://arxiv.org/abs/2004.11362
 *
 *   mixup        lambda CE(head(m), y_i) + (1 - lambda) CE(head(m), y_j),  m = lambda h_i + (1 - lambda) h_j,
 *                lambda ~ Beta(beta, beta), j a row of the batch; one lambda and one j for every row; or m is what
 *                becomes of mixed embeddings (mixed-embeddings.ts)
 *   contrastive  weight times -mean over the others j of the row's class of log softmax(<z_i, z_j> / tau), z = h / |h|
 */
import { type Batch, isPairs, isTokens } from "../../data/batch.ts";
import { UserError } from "../../errors.ts";
import type { Options, Values } from "../../method/options.ts";
import type { Model } from "../../model/model.ts";
import type { CrossEntropyOptions } from "../../tensor/ops/cross-entropy.ts";
import { scale } from "../../tensor/ops/elementwise.ts";
import { chunkedHead } from "../../tensor/ops/head-loss.ts";
import type { Program } from "../../tensor/program.ts";
import type { Recorder } from "../../tensor/recorder.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { contrastive, positivesOf, unitRows } from "./contrastive.ts";
import type { ChosenLoss } from "./label-loss.ts";
import { fillMixup, MIXUP, mixedHidden, mixedLosses, mixesFirst, otherLabels } from "./mixup.ts";

export const CLASS_LOSSES = {
  ...MIXUP,
  mixup_at: {
    type: "'head' | 'embedding'",
    default: "head",
    needs: "mixup",
    help: "where rows are mixed: what the head reads, or what the first block reads (embedded tokens, patches, numbers)",
  },
  contrastive: {
    type: "number >= 0",
    default: 0,
    value: "WEIGHT",
    help: "of a classifier: weight of a loss that draws what its head reads of rows of one class together",
  },
  contrastive_temperature: {
    type: "number > 0",
    default: 0.1,
    needs: "contrastive",
    value: "TAU",
    help: "divides the cosines of rows",
  },
} as const satisfies Options;

export interface ClassLosses {
  /** Gives the tensor that takes the place of a noted one of the model. */
  replace?(rec: Recorder): (name: string, x: Tensor) => Tensor;
  /** Of the labels of mixed rows, (N). */
  mixed?(rec: Recorder, given: HeadGiven): Tensor;
  /** Weighted contrastive loss of every row (N). */
  contrast?(rec: Recorder, batch: Batch, hidden: Tensor): Tensor;
  fill(program: Program, batch: Batch): void;
}

export interface HeadGiven extends CrossEntropyOptions {
  /** (N, C) */
  readonly hidden: Tensor;
  readonly head: (hidden: Tensor) => Tensor;
  readonly width: number;
  /** (N) i32 */
  readonly targets: Tensor;
}

const POSITIVES = "contrastive positives";

/** Losses of rows by both labels of each; `mixes`: of what the head reads of two, else of rows that are mixed. */
function mixedLoss(rec: Recorder, given: HeadGiven, mixes: boolean, loss: ChosenLoss | undefined): Tensor {
  const { hidden, head, width, targets, ...options } = given;
  const other = otherLabels(rec, hidden.shape[0]!);
  const { others, shares, rests, apart } = other;
  return chunkedHead(rec, {
    hidden: mixes ? mixedHidden(rec, hidden, other) : hidden,
    head,
    width,
    along: [targets, others, shares, rests, apart],
    loss: (logits, [own, others, shares, rests, apart]) =>
      mixedLosses(rec, logits, own!, { others: others!, shares: shares!, rests: rests!, apart: apart! }, loss, options),
  });
}

/**
 * What options ask for; undefined where they ask for nothing. `loss` says of mixed rows what it says of their labels,
 * where it does. Throws UserError for a model that is no classifier.
 */
export function classLosses(
  model: Model,
  {
    mixup: beta,
    mixup_keep: keep,
    mixup_at: at,
    contrastive: weight,
    contrastive_temperature: tau,
  }: Values<typeof CLASS_LOSSES>,
  seed: number,
  loss?: ChosenLoss,
): ClassLosses | undefined {
  if (beta === 0 && weight === 0) return undefined;
  if (model.task !== "classifier")
    throw new UserError(
      `${beta > 0 ? "--mixup" : "--contrastive"} is for classifiers, and ${model.architecture.name} is a ${model.task}`,
      "leave it out",
    );
  return {
    ...(beta > 0 ? { mixed: (rec, given) => mixedLoss(rec, given, at === "head", loss) } : {}),
    ...(beta > 0 && at === "embedding" ? { replace: mixesFirst } : {}),
    ...(weight > 0
      ? {
          contrast(rec, { rows }, hidden) {
            const positives = rec.input(POSITIVES, [rows, rows]);
            return scale(rec, contrastive(rec, unitRows(rec, hidden), positives, tau), weight);
          },
        }
      : {}),
    fill(program, batch) {
      if (isTokens(batch) || isPairs(batch)) throw new TypeError("only examples have classes");
      if (beta > 0) fillMixup(program, batch, { beta, keep, seed });
      if (weight > 0) program.write(POSITIVES, positivesOf([...batch.labels]));
    },
  };
}
