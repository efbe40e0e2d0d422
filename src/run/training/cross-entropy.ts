/**
 * The objective of training on labels: mean cross-entropy of the tokens, or of the examples, that count, or another
 * loss of labels.
 */
import { type Batch, isTokens } from "../../data/batch.ts";
import { lossWeights } from "../../data/targets.ts";
import type { Inputs } from "../../model/architecture.ts";
import type { Model, Recorded } from "../../model/model.ts";
import { correctRows } from "../../tensor/ops/correct.ts";
import { add } from "../../tensor/ops/elementwise.ts";
import { headLoss } from "../../tensor/ops/head-loss.ts";
import { dot } from "../../tensor/ops/reduce.ts";
import type { Program } from "../../tensor/program.ts";
import type { Recorder } from "../../tensor/recorder.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { fillInputs, fillTargets, recordInputs, recordTargets } from "../batch-programs.ts";
import type { ClassLosses } from "./class-losses.ts";
import type { IncrementMask } from "./increment-mask.ts";
import { type ChosenLoss, labelLosses, labelRows, wholeBatch } from "./label-loss.ts";
import { fillMoves, movedEmbeddings } from "./moved-embeddings.ts";
import { type Objective, ofBatch, type RecordedLoss } from "./objective.ts";
import type { SourceModulation } from "./source-modulation.ts";

/** What makes one loss of the tokens' (N) in another way than by their mean. */
export interface RowWeigher {
  record(
    rec: Recorder,
    batch: Batch,
    given: {
      readonly recorded: Recorded;
      readonly inputs: Inputs;
      readonly targets: Tensor;
      readonly nll: Tensor;
      /** Most bytes of logits that exist at once. */
      readonly budget?: number | undefined;
    },
  ): RecordedLoss;
  fill(program: Program, batch: Batch, total: number): void;
  /** What the batch adds to the denominator of its mean. */
  counted(batch: Batch): number;
}

export interface CrossEntropyObjectiveOptions {
  /** Label smoothing, 0 to 1. */
  readonly smoothing?: number;
  /** Weight of the squared log-partition. */
  readonly zLoss?: number;
  /** Whether activations are computed a second time on the way back. */
  readonly recompute?: boolean;
  /** What batch norms go by; "running" when left out, as where no weight is to change. */
  readonly statistics?: "batch" | "running";
  /** Whether the share of examples that get their class is reported, of classifiers alone. */
  readonly accuracy?: boolean;
  /** Of classifiers: numbers of rows, from their logits and labels (N), whose mean is reported as `push`. */
  readonly pushes?: ((rec: Recorder, logits: Tensor, targets: Tensor) => Tensor) | undefined;
  /** Keeps what the adapter adds to where it should act. */
  readonly increments?: IncrementMask | undefined;
  /** Of a classifier: what takes the place of the labels' cross-entropy, or joins it. Not beside a weigher. */
  readonly classes?: ClassLosses | undefined;
  readonly weigher?: RowWeigher | undefined;
  /** In the place of cross-entropy: smoothing and z-loss are its own then. */
  readonly loss?: ChosenLoss | undefined;
  /** Of a classifier of numbers: changes gradients on their way from the logits. Beside losses of rows alone. */
  readonly modulation?: SourceModulation | undefined;
  /** Whether batches say what is added to the embeddings of their tokens. */
  readonly moved?: boolean;
  /** Gives the tensor that takes the place of a noted one of the model. Not beside `moved` and `classes`. */
  readonly replace?: ((rec: Recorder) => (name: string, x: Tensor) => Tensor) | undefined;
  /** Most bytes of logits that exist at once. */
  readonly logitBytes?: number;
}

/** A loss with another term, (1), which is reported by itself, too. */
const withTerm = (
  rec: Recorder,
  { backward, metrics }: RecordedLoss,
  name: string,
  seed: RecordedLoss["backward"][number],
  term: Tensor,
): RecordedLoss => ({
  backward: [...backward, seed],
  metrics: { ...metrics, loss: add(rec, metrics.loss!, term), [name]: term },
});

/** Weights of positions, larger where the next token has the mark of the stage in which the adapter is trained. */
function focused({ adapter }: Model, batch: Batch, weights: Float32Array): Float32Array {
  const { focus = 1, current } = adapter?.stages ?? {};
  if (focus === 1 || !isTokens(batch)) return weights;
  for (const { sequence, row, start } of batch.documents)
    for (const [i, mark] of (sequence.marks ?? []).entries())
      if (i > 0 && mark === current) weights[row * batch.length + start + i - 1]! *= focus;
  return weights;
}

/** The mean of the losses of tokens (N), and the share of the rows that are right, (N) of 0 and 1. */
function meanLoss(
  rec: Recorder,
  batch: Batch,
  { nll, right }: { readonly nll: Tensor; readonly right: Tensor | undefined },
): RecordedLoss {
  const weights = rec.input("weights", [batch.rows * batch.length]); // 1 / total where a row counts
  const metrics: Record<string, Tensor> = { loss: dot(rec, nll, weights) };
  if (right) metrics.accuracy = dot(rec, right, weights);
  return { backward: [[nll, weights]], metrics };
}

/** Losses of rows (N). Those that remember numbers of rows are of classifiers, whose logits are few. */
function lossesOf(rec: Recorder, loss: ChosenLoss, batch: Batch, given: Parameters<typeof labelLosses>[2]): Tensor {
  if (!loss.numbers) return labelLosses(rec, loss, given);
  return labelRows(rec, loss, given.head(given.hidden), given.targets, loss.numbers.record(rec, batch));
}

/** A loss of the whole batch (1), and the share of the rows that are right, (N) of 0 and 1. */
function wholeLoss(
  rec: Recorder,
  batch: Batch,
  { loss, right }: { readonly loss: Tensor; readonly right: Tensor | undefined },
): RecordedLoss {
  const weights = rec.input("weights", [batch.rows * batch.length]); // 1 / total
  const one = rec.constant(Float32Array.of(1), [1], "one");
  const metrics: Record<string, Tensor> = { loss };
  if (right) metrics.accuracy = dot(rec, right, weights);
  return { backward: [[loss, one]], metrics };
}

/** Cross-entropy of a language model's tokens or a classifier's examples. */
export function crossEntropyObjective(model: Model, options: CrossEntropyObjectiveOptions = {}): Objective<Batch> {
  const { smoothing, zLoss, recompute = false, statistics = "running", logitBytes } = options;
  const { increments, classes, weigher, loss, modulation, moved = false } = options;
  const replace = moved ? movedEmbeddings : (options.replace ?? classes?.replace);
  const of = ofBatch<Batch>((batch) => batch);
  const counted = weigher?.counted ?? ((batch: Batch) => of.counted(batch, ""));
  return {
    name: loss?.loss.method.name ?? "cross-entropy",
    ...of,
    counted,

    record(rec, batch): RecordedLoss {
      const inputs = recordInputs(rec, batch);
      const recorded = model.record(rec, inputs, {
        ...{ recompute, statistics },
        increments: increments !== undefined,
        ...(replace ? { replace: replace(rec) } : {}),
      });
      const targets = recordTargets(rec, batch);
      const modulated = modulation?.record(rec, model, {
        ...{ inputs, targets, logits: recorded.head(recorded.hidden) },
        weights: rec.input("weights", [batch.rows * batch.length]),
      });
      const { hidden, head } = modulated ? { hidden: modulated.logits, head: (rows: Tensor) => rows } : recorded;
      const given = {
        ...{ hidden, head, width: model.sizes.outputs, targets },
        ...(smoothing ? { smoothing } : {}),
        ...(zLoss ? { zLoss } : {}),
        ...(logitBytes ? { budget: logitBytes } : {}),
      };
      const right =
        options.accuracy && model.task === "classifier" ? correctRows(rec, head(hidden), targets) : undefined;
      const losses = () =>
        classes?.mixed?.(rec, given) ?? (loss ? lossesOf(rec, loss, batch, given) : headLoss(rec, given));
      const own = loss?.loss.method.batch
        ? wholeLoss(rec, batch, { loss: wholeBatch(rec, loss, head(hidden), targets), right })
        : (weigher?.record(rec, batch, { recorded, inputs, targets, nll: losses(), budget: logitBytes }) ??
          meanLoss(rec, batch, { nll: losses(), right }));
      const push = options.pushes && {
        push: dot(rec, options.pushes(rec, head(hidden), targets), rec.input("weights", [batch.rows * batch.length])),
      };
      let whole = { ...own, metrics: { ...own.metrics, ...modulated?.metrics, ...push } };
      const squares = increments?.record(rec, batch, recorded);
      if (squares) whole = withTerm(rec, whole, "increment_loss", squares, dot(rec, ...squares));
      const contrast = classes?.contrast?.(rec, batch, hidden);
      if (!contrast) return whole;
      const weights = rec.input("weights", [batch.rows * batch.length]);
      return withTerm(rec, whole, "contrastive_loss", [contrast, weights], dot(rec, contrast, weights));
    },

    fill(program, batch, total) {
      fillInputs(program, batch);
      const targets = fillTargets(program, batch);
      if (weigher) weigher.fill(program, batch, total);
      else program.write("weights", focused(model, batch, lossWeights(batch, targets, total)));
      increments?.fill(program, batch, counted(batch) / total);
      classes?.fill(program, batch);
      if (moved) fillMoves(program, batch);
      loss?.numbers?.fill(program, batch);
    },
  };
}
