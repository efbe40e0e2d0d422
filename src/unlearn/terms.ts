/** The terms of the objective of unlearning: each gives the loss of every row of a batch, in its own program. */
import { type Batch, isTokens, type TokenBatch } from "../data/batch.ts";
import type { Bound } from "../method/bind.ts";
import type { Model } from "../model/model.ts";
import { recordInputs, recordTargets } from "../run/batch-programs.ts";
import type { Teacher } from "../run/teachers/teacher.ts";
import { type ChosenLoss, labelLosses } from "../run/training/label-loss.ts";
import { divergence } from "../tensor/ops/divergence.ts";
import { embedding } from "../tensor/ops/embedding.ts";
import { chunkedHead, headLoss } from "../tensor/ops/head-loss.ts";
import type { Recorder } from "../tensor/recorder.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { RowNumbers, Supply } from "./capability.ts";
import type { StatesOf, UnlearnObjective } from "./contract.ts";
import type { Twins } from "./twins.ts";

export type Part = "forget" | "retain" | "pd";

/** Prefix of the inputs of twins, and where they lie. */
export const TWIN = "twin.";
export const TWIN_PLACES = "twin.places";

export interface UnlearnSetup {
  readonly model: Model;
  readonly chosen: Bound<UnlearnObjective>;
  /** What the method's capabilities supply, in the order of its needs. */
  readonly supplies: readonly Supply[];
  readonly retain: "nll" | "kl" | "states" | "own" | "none";
  /** theta0, where something asks for its outputs. */
  readonly original: Teacher | undefined;
  /** A model that never learnt anything, where the method asks for it. */
  readonly untrained?: Teacher | undefined;
  readonly parts: readonly Part[];
  /** Of the rows to forget, where the method asks for them. */
  readonly twins?: Twins | undefined;
  /** Whether activations are computed a second time on the way back. */
  readonly recompute: boolean;
  readonly seed: number;
  /** Of the labels of rows to keep; cross-entropy when left out. */
  readonly loss?: ChosenLoss;
}

export interface Term {
  /** What the mean of the losses is over. */
  readonly per: "token" | "sequence" | "sequence-mean";
  /** Losses of every position (N), or of every sequence (B) with `per` "sequence". */
  record(rec: Recorder, batch: Batch, rows: RowNumbers): Tensor;
}

/** The loss of the labels. */
export const labelsTerm = ({ model, recompute, loss }: UnlearnSetup): Term => ({
  per: "token",
  record(rec, batch) {
    if (!loss) return labelsLoss(rec, model, batch, recompute);
    const { hidden, head } = model.record(rec, recordInputs(rec, batch), { recompute });
    return labelLosses(rec, loss, { hidden, head, width: model.sizes.outputs, targets: recordTargets(rec, batch) });
  },
});

function labelsLoss(rec: Recorder, model: Model, batch: Batch, recompute: boolean, prefix = ""): Tensor {
  const { hidden, head } = model.record(rec, recordInputs(rec, batch, prefix), { recompute });
  return headLoss(rec, { hidden, head, width: model.sizes.outputs, targets: recordTargets(rec, batch, prefix) });
}

/** What a loss of rows of logits is given. */
interface LogitRows {
  readonly logits: Tensor;
  readonly targets: Tensor;
  /** Logits of theta0, and of a model that never learnt anything, where there are such. */
  original(): Tensor;
  untrained(): Tensor;
  /** Outputs that are wanted, where rows of the batch say some. */
  readonly wanted: (() => Tensor) | undefined;
}

/** Input of outputs that are wanted, (B, C). */
export const WANTED = "wanted outputs";

/** Loss of every row of logits (N), beside those of other models. */
function rowsTerm(
  { model, recompute }: UnlearnSetup,
  { original, untrained }: { readonly original?: Teacher | undefined; readonly untrained?: Teacher | undefined },
  loss: (rec: Recorder, rows: LogitRows) => Tensor,
): Term {
  return {
    per: "token",
    record(rec, batch) {
      const inputs = recordInputs(rec, batch);
      const targets = recordTargets(rec, batch);
      const { hidden, head } = model.record(rec, inputs, { recompute });
      const theirs = original?.record(rec, inputs, batch);
      const fresh = untrained?.record(rec, inputs, batch);
      const isWanted = "y" in batch && batch.y !== undefined;
      const wanted = isWanted ? [rec.input(WANTED, [batch.rows, model.sizes.outputs])] : [];
      const first = theirs?.along ?? [];
      return chunkedHead(rec, {
        hidden,
        head,
        width: model.sizes.outputs,
        along: [targets, ...wanted, ...first, ...(fresh?.along ?? [])],
        loss: (logits, [labels, ...more]) => {
          const along = more.slice(wanted.length);
          return loss(rec, {
            logits,
            targets: labels!,
            wanted: isWanted ? () => more[0]! : undefined,
            original: () => theirs!.logits(rec, along.slice(0, first.length)),
            untrained: () => fresh!.logits(rec, along.slice(first.length)),
          });
        },
      });
    },
  };
}

/** KL(p_theta0 || p). */
export const klTerm = (setup: UnlearnSetup): Term =>
  rowsTerm(setup, { original: setup.original }, (rec, { logits, targets, original }) =>
    divergence(rec, logits, original(), targets, { kind: "forward-kl" }),
  );

/** The method's own loss of the rows to keep. */
export function keepsTerm(setup: UnlearnSetup): Term {
  const { method, values } = setup.chosen;
  const original = method.original ? setup.original : undefined;
  return rowsTerm(setup, { original }, (rec, rows) => method.keeps!(rec, { ...rows, values }));
}

/** What theta0 says of the twins of a batch. */
function twinOf(rec: Recorder, batch: TokenBatch, twins: Twins, original: Teacher): StatesOf["twin"] {
  const other = twins.of(batch).batch;
  const states = original.record(rec, recordInputs(rec, other, TWIN), other).outputs;
  if (!states) throw new TypeError("only a live model has states");
  const places = rec.input(TWIN_PLACES, [batch.rows * batch.length], "i32");
  return { states, at: (x) => embedding(rec, places, x) };
}

/** The method's loss of hidden states. theta0's are there for the retain set. */
export function statesTerm(
  { model, chosen, original, recompute, seed, twins }: UnlearnSetup,
  part: "forget" | "retain",
): Term {
  const { method, values } = chosen;
  const { layers, width } = model.sizes;
  return {
    per: method.per ?? "token",
    record(rec, batch) {
      const inputs = recordInputs(rec, batch);
      recordTargets(rec, batch);
      const current = model.record(rec, inputs, { recompute });
      const reference = part === "retain" ? original!.record(rec, inputs, batch).outputs : undefined;
      const twin = part === "forget" && twins && isTokens(batch) ? twinOf(rec, batch, twins, original!) : undefined;
      return method.states!(rec, { current, reference, twin, part, layers, width, seed, values });
    },
  };
}

/** The method's loss of sequences, from likelihoods and what capabilities supply. */
function sequencesTerm({ model, chosen: { method, values }, supplies, recompute }: UnlearnSetup): Term {
  const per = method.per ?? "token";
  return {
    per,
    record(rec, batch, rows) {
      const nllOf = (given: Batch, prefix: string) =>
        rec.reshape(labelsLoss(rec, model, given, recompute, prefix), [given.rows, given.length]);
      const nll = nllOf(batch, "");
      const supplied = supplies.map((supply) => supply.record(rec, { rows, nll: nllOf }));
      const lengths = rec.input("lengths", [batch.rows]);
      const losses = method.sequences!(rec, Object.assign({ nll, lengths, values }, ...supplied));
      return rec.reshape(losses, [per === "sequence" ? batch.rows : batch.rows * batch.length]);
    },
  };
}

/** The method's own loss. */
export function forgetTerm(setup: UnlearnSetup): Term {
  const { method, values } = setup.chosen;
  if (method.sequences) return sequencesTerm(setup);
  if (method.states) return statesTerm(setup, "forget");
  const others = {
    original: method.original ? setup.original : undefined,
    untrained: method.untrained ? setup.untrained : undefined,
  };
  return rowsTerm(setup, others, (rec, rows) => method.rows!(rec, { ...rows, values }));
}
