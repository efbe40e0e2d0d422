/**
 * The objective of unlearning, gamma F + alpha R: a method's forget term, and a retain term of cross-entropy, KL to the model as it was,
 * or hidden states. Forget and retain are parts with a program each, so that a wrapper may treat their gradients apart.
 */
import { type Batch, batchKey, placesOf } from "../data/batch.ts";
import { countedByRow } from "../data/targets.ts";
import type { Model } from "../model/model.ts";
import { fillInputs, fillTargets, recordInputs, recordTargets } from "../run/batch-programs.ts";
import type { Teacher } from "../run/teachers/teacher.ts";
import type { Objective, RecordedLoss } from "../run/training/objective.ts";
import { crossEntropy } from "../tensor/ops/cross-entropy.ts";
import { divergence } from "../tensor/ops/divergence.ts";
import { scale } from "../tensor/ops/elementwise.ts";
import { chunkedHead, headLoss } from "../tensor/ops/head-loss.ts";
import { dot } from "../tensor/ops/reduce.ts";
import { dynamic, type Recorder } from "../tensor/recorder.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { UnlearnBatch } from "./batches.ts";
import type { UnlearnObjective } from "./contract.ts";

export interface UnlearnSetup {
  readonly model: Model;
  readonly method: UnlearnObjective;
  readonly values: Readonly<Record<string, unknown>>;
  readonly retain: "nll" | "kl" | "states" | "none";
  /** theta0, where something asks for its outputs. */
  readonly original: Teacher | undefined;
  readonly parts: readonly ("forget" | "retain" | "pd")[];
  readonly recompute: boolean;
  readonly seed: number;
}

const shapeOf = (batch: Batch | undefined): string => (batch === undefined ? "-" : batchKey(batch));
const positionsOf = (batch: Batch | undefined): number => (batch === undefined ? 0 : batch.rows * batch.length);

/** The part of a batch that a part of the objective is about. */
const partOf = (batch: UnlearnBatch, part: string): Batch =>
  part === "forget" ? batch.forget : part === "retain" ? batch.retain! : batch.pd!;

export function unlearnObjective(setup: UnlearnSetup): Objective<UnlearnBatch> {
  const { model, method, retain, original, parts, recompute, seed } = setup;
  const values = setup.values as never;
  const { width: C, layers, outputs } = model.sizes;
  const per = method.per ?? "token";
  const statesOf = (part: string) =>
    method.states !== undefined && (part === "forget" || (part === "retain" && retain === "states"));

  /** Per-row weights of a part: 1 / tokens, 1 / sequences, or 1 / (sequences * tokens of the sequence). */
  const perOf = (part: string) => (part === "forget" || statesOf(part) ? per : "token");

  const finish = (rec: Recorder, part: string, losses: Tensor, mean: Tensor): RecordedLoss => {
    const weight = dynamic(`${part}_weight`);
    const weighted = scale(rec, losses, weight);
    return {
      backward: [[weighted, mean]],
      metrics: { loss: dot(rec, weighted, mean), [`${part}_loss`]: dot(rec, losses, mean) },
    };
  };

  const sequenceNll = (rec: Recorder, batch: Batch, prefix: string) => {
    const { rows, length } = batch;
    const { hidden, head } = model.record(rec, recordInputs(rec, batch, prefix), { recompute });
    const nll = headLoss(rec, { hidden, head, width: outputs, targets: recordTargets(rec, batch, prefix) });
    return { nll: rec.reshape(nll, [rows, length]), rows, length };
  };

  return {
    name: method.name,
    parts,
    key: ({ forget, retain, wanted, pd }) => [forget, retain, wanted, pd].map(shapeOf).join(" "),
    counted: (batch, part) => {
      const own = partOf(batch, part);
      return perOf(part) === "token" ? own.counted : own.rows;
    },
    size: ({ forget, retain, wanted, pd }) =>
      positionsOf(forget) +
      (parts.includes("retain") ? positionsOf(retain) : 0) +
      positionsOf(wanted) +
      positionsOf(pd),
    describe: ({ forget }) => placesOf(forget),

    record(rec, batch, part) {
      const own = partOf(batch, part);
      if (part === "forget" && method.sequences) {
        const { nll, rows, length } = sequenceNll(rec, own, "");
        const reference = method.reference ? rec.input("reference", [rows]) : undefined;
        const wanted = batch.wanted && {
          nll: sequenceNll(rec, batch.wanted, "wanted.").nll,
          reference: method.reference ? rec.input("wanted.reference", [rows]) : undefined,
        };
        const lengths = rec.input("lengths", [rows]);
        const losses = method.sequences(rec, { nll, lengths, reference, ...(wanted ? { wanted } : {}), values });
        const n = per === "sequence" ? rows : rows * length;
        return finish(rec, part, rec.reshape(losses, [n]), rec.input("weights", [n]));
      }
      const inputs = recordInputs(rec, own);
      const n = own.rows * own.length;
      const targets = recordTargets(rec, own);
      const mean = rec.input("weights", [n]);
      const current = model.record(rec, inputs, { recompute });
      if (statesOf(part)) {
        const reference = part === "retain" ? original!.record(rec, inputs, n).outputs : undefined;
        const which = part as "forget" | "retain";
        const given = { current, reference, part: which, layers, width: C, seed, values };
        return finish(rec, part, method.states!(rec, given), mean);
      }
      const asks = part === "forget" ? method.reference === "logits" : part === "retain" && retain === "kl";
      const theirs = asks ? original!.record(rec, inputs, n) : undefined;
      const losses = chunkedHead(rec, {
        hidden: current.hidden,
        head: current.head,
        width: outputs,
        along: [targets, ...(theirs?.along ?? [])],
        loss(logits, [labels, ...along]) {
          const reference = theirs?.logits(rec, along);
          if (part === "forget") return method.rows!(rec, { logits, reference, targets: labels!, values });
          return reference
            ? divergence(rec, logits, reference, labels!, { kind: "forward-kl" })
            : crossEntropy(rec, logits, labels!);
        },
      });
      return finish(rec, part, losses, mean);
    },

    fill(program, batch, total, part) {
      const own = partOf(batch, part);
      fillInputs(program, own);
      const targets = fillTargets(program, own);
      const lengths = countedByRow(targets, own.rows);
      if (program.takes("lengths"))
        program.write(
          "lengths",
          lengths.map((n) => Math.max(1, n)),
        );
      const unit = perOf(part);
      program.write(
        "weights",
        unit === "sequence"
          ? new Float32Array(own.rows).fill(1 / total)
          : Float32Array.from(targets, (target, i) =>
              target < 0 ? 0 : unit === "token" ? 1 / total : 1 / (total * lengths[Math.floor(i / own.length)]!),
            ),
      );
      if (part !== "forget") return;
      if (program.takes("reference")) program.write("reference", batch.reference!);
      if (!batch.wanted) return;
      fillInputs(program, batch.wanted, "wanted.");
      fillTargets(program, batch.wanted, "wanted.");
      if (program.takes("wanted.reference")) program.write("wanted.reference", batch.wantedReference!);
    },
  };
}
