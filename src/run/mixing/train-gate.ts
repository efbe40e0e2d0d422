/**
 * Trains a gate between an accurate and a robust classifier, whose weights stay. Bai et al. 2023,
 * https://arxiv.org/abs/2301.12554
 *
 *   loss of a row   c_bce BCE(sigmoid(gated), t) + c_ce CE(z, y) + c_p BCE CE
 *
 * with t = 0 for rows as they are and t = 1 for rows that are moved against the mixture as it is, through the gate. A
 * batch holds every row in both forms.
 */
import type { NumbersBatch } from "../../data/batch.ts";
import { batchKey } from "../../data/batch.ts";
import { bindDefaults } from "../../method/bind.ts";
import { loadMethod } from "../../method/registry.ts";
import { crossEntropy } from "../../tensor/ops/cross-entropy.ts";
import { add, addScalar, logSigmoid, mul, neg, scale, sub } from "../../tensor/ops/elementwise.ts";
import { dot } from "../../tensor/ops/reduce.ts";
import { Adversary, type Attack } from "../adversarial/adversary.ts";
import { fillInputs, fillTargets, recordInputs, recordTargets } from "../batch-programs.ts";
import type { BatchSource } from "../training/batch-source.ts";
import type { Objective } from "../training/objective.ts";
import { trainModel } from "../training/train-model.ts";
import { type Gated, recordGated } from "./gated-outputs.ts";

export interface GateTraining {
  readonly attack: Attack;
  /** Weights of the two losses and of their product. */
  readonly loss: { readonly bce: number; readonly ce: number; readonly product: number };
  /** Weight of rows as they are; moved ones have 1. */
  readonly cleanWeight: number;
  readonly lr: number;
  readonly steps: number;
  readonly seed: number;
  readonly signal: AbortSignal;
  readonly name: string;
  readonly done?: (rows: number) => void;
}

/** The rows as they are, and moved. */
async function doubled(batch: NumbersBatch, adversary: Adversary, round: number): Promise<NumbersBatch> {
  const names = Array.from(batch.labels, (_, i) => `${round} ${batch.places[i] ?? i}`);
  const { x } = await adversary.move(batch, names);
  const both = new Float32Array(2 * x.length);
  both.set(batch.x);
  both.set(x, x.length);
  return {
    ...batch,
    rows: 2 * batch.rows,
    counted: 2 * batch.counted,
    x: both,
    labels: Int32Array.from([...batch.labels, ...batch.labels]),
    places: [...batch.places, ...batch.places],
  };
}

/** 0 for the first half of the rows, 1 for the moved ones. */
const needed = ({ rows }: NumbersBatch): Float32Array =>
  Float32Array.from({ length: rows }, (_, i) => (i < rows / 2 ? 0 : 1));

/** The loss over doubled batches. */
function gateObjective(models: Gated, { loss, cleanWeight }: GateTraining): Objective<NumbersBatch> {
  return {
    name: "gate",
    key: batchKey,
    counted: ({ rows }) => (rows / 2) * (1 + cleanWeight),
    size: ({ rows }) => rows,
    record(rec, batch) {
      const inputs = recordInputs(rec, batch);
      if (!("x" in inputs)) throw new TypeError("a gate takes x, not token ids");
      const { logits, gated } = recordGated(rec, inputs, models, { learning: true });
      const s = rec.reshape(gated, [batch.rows]);
      const t = rec.input("needed", [batch.rows]);
      const rest = addScalar(rec, scale(rec, t, -1), 1);
      const bce = sub(rec, neg(rec, mul(rec, t, logSigmoid(rec, s))), mul(rec, rest, logSigmoid(rec, neg(rec, s))));
      const ce = crossEntropy(rec, logits, recordTargets(rec, batch));
      const sum = add(rec, scale(rec, bce, loss.bce), scale(rec, ce, loss.ce));
      const rows = add(rec, sum, scale(rec, mul(rec, bce, ce), loss.product)); // (2 B)
      const weights = rec.input("weights", [batch.rows]);
      return { backward: [[rows, weights]], metrics: { loss: dot(rec, rows, weights) } };
    },
    fill(program, batch, total) {
      fillInputs(program, batch);
      fillTargets(program, batch);
      const t = needed(batch);
      program.write("needed", t);
      program.write(
        "weights",
        t.map((moved) => (moved ? 1 : cleanWeight) / total),
      );
    },
  };
}

/** Trains the gate on rows of `source`; gives the loss of the last step. Throws UserError where it is not finite. */
export async function trainGate(models: Gated, source: BatchSource<NumbersBatch>, options: GateTraining) {
  const { attack, lr, steps, seed, signal, name, done } = options;
  const { gpu } = models.accurate;
  const adversary = new Adversary(gpu, (rec, inputs) => recordGated(rec, inputs, models).logits, attack);
  const largest = source.largest();
  await adversary.prepare(largest);
  const { last } = await trainModel<NumbersBatch>({
    model: models.accurate,
    extra: models.gate.trainable(),
    source: {
      ...source,
      largest: () => ({ ...largest, rows: 2 * largest.rows }),
      async next() {
        const { batch, epoch } = await source.next();
        return { batch: await doubled(batch, adversary, epoch), epoch };
      },
    },
    objective: gateObjective(models, options),
    optimizer: bindDefaults(await loadMethod("optimizer", "adamw"), { weight_decay: 0 }),
    rate: () => lr,
    steps,
    seed,
    signal,
    name,
    advice: "lower --lr",
    onStep: ({ size }) => done?.(size / 2),
  });
  adversary.free();
  return last?.metrics.loss;
}
