/**
 * The objective of unlearning, gamma F + alpha R: a method's forget term, and a retain term of cross-entropy, KL to the
 * model as it was, or hidden states. Its terms are parts with a program each, so that update rules may treat their
 * gradients apart.
 */
import { type Batch, batchKey, isTokens, placesOf } from "../data/batch.ts";
import { countedByRow, timesRowWeights } from "../data/targets.ts";
import { fillInputs, fillTargets } from "../run/batch-programs.ts";
import type { Objective, RecordedLoss } from "../run/training/objective.ts";
import { div, mul, scale, stopGradient } from "../tensor/ops/elementwise.ts";
import { dot } from "../tensor/ops/reduce.ts";
import { dynamic, type Recorder } from "../tensor/recorder.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { UnlearnBatch } from "./batches.ts";
import {
  forgetTerm,
  keepsTerm,
  klTerm,
  labelsTerm,
  type Part,
  statesTerm,
  type Term,
  TWIN,
  TWIN_PLACES,
  type UnlearnSetup,
  WANTED,
} from "./terms.ts";

const retainTerm = (setup: UnlearnSetup): Term => {
  if (setup.retain === "kl") return klTerm(setup);
  if (setup.retain === "states") return statesTerm(setup, "retain");
  return setup.retain === "own" ? keepsTerm(setup) : labelsTerm(setup);
};

/** The part of a batch that a part of the objective is about. */
const partOf = (batch: UnlearnBatch, part: Part): Batch => batch[part]!;

/**
 * (N) or (B): 1 / tokens, 1 / sequences, or 1 / (sequences * tokens of the sequence) where a row counts; `total` is of
 * the step.
 */
function meanOver(per: Term["per"], targets: Int32Array, lengths: Float32Array, total: number): Float32Array {
  if (per === "sequence") return new Float32Array(lengths.length).fill(1 / total);
  const width = targets.length / lengths.length;
  return Float32Array.from(targets, (target, i) =>
    target < 0 ? 0 : per === "token" ? 1 / total : 1 / (total * lengths[Math.floor(i / width)]!),
  );
}

/** Positions that go through the model. */
const positionsOf = (batch: Batch | undefined): number => (batch === undefined ? 0 : batch.rows * batch.length);

export function unlearnObjective(setup: UnlearnSetup): Objective<UnlearnBatch> {
  const { chosen, supplies, parts } = setup;
  const { method, values } = chosen;
  const terms: Readonly<Record<Part, Term>> = {
    forget: forgetTerm(setup),
    retain: retainTerm(setup),
    pd: labelsTerm(setup),
  };
  const counted = (batch: UnlearnBatch, part: string): number => {
    const own = partOf(batch, part as Part);
    return terms[part as Part].per === "token" ? own.counted : own.rows;
  };
  const besides = ({ rows }: UnlearnBatch) => supplies.map((supply) => supply.beside?.(rows));

  /** The retain losses times their weight, which may follow the mean of this very batch. */
  const weighed = (rec: Recorder, losses: Tensor, loss: Tensor) => {
    // 1 for a step of one batch: the mean of the step is over all of its micro-batches.
    const share = rec.input("share", [1]);
    const given = { loss: div(rec, stopGradient(rec, loss), share), values };
    const weight = stopGradient(rec, method.retainWeight!(rec, given));
    return { weighted: mul(rec, losses, weight), metrics: { retain_weight: mul(rec, weight, share) } };
  };

  return {
    name: method.name,
    parts,
    key: (batch) =>
      [batch.forget, batch.retain, ...besides(batch), batch.pd].map((own) => (own ? batchKey(own) : "-")).join(" "),
    counted,
    size: (batch) =>
      [...parts.map((part) => partOf(batch, part)), ...besides(batch)].reduce((sum, own) => sum + positionsOf(own), 0),
    describe: ({ forget }) => placesOf(forget),

    record(rec, batch, part): RecordedLoss {
      const losses = terms[part as Part].record(rec, partOf(batch, part as Part), batch.rows);
      const mean = rec.input("weights", losses.shape);
      const loss = dot(rec, losses, mean);
      const { weighted, metrics } =
        part === "retain" && method.retainWeight
          ? weighed(rec, losses, loss)
          : { weighted: scale(rec, losses, dynamic(`${part}_weight`)), metrics: {} };
      return {
        backward: [[weighted, mean]],
        metrics: { loss: dot(rec, weighted, mean), [`${part}_loss`]: loss, ...metrics },
      };
    },

    fill(program, batch, total, part) {
      const own = partOf(batch, part as Part);
      fillInputs(program, own);
      const targets = fillTargets(program, own);
      const lengths = countedByRow(targets, own.rows);
      if (program.takes("lengths"))
        program.write(
          "lengths",
          lengths.map((n) => Math.max(1, n)),
        );
      program.write("weights", timesRowWeights(own, meanOver(terms[part as Part].per, targets, lengths, total)));
      if (program.takes("share")) program.write("share", Float32Array.of(counted(batch, part) / total));
      if (program.takes(WANTED) && "y" in own && own.y) program.write(WANTED, own.y);
      if (part === "forget") for (const supply of supplies) supply.fill(program, batch.rows);
      if (setup.twins && program.takes(TWIN_PLACES) && isTokens(own)) {
        const twin = setup.twins.of(own);
        fillInputs(program, twin.batch, TWIN);
        program.write(TWIN_PLACES, twin.places);
      }
    },
  };
}
