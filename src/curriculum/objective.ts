/**
 * Cross-entropy whose rows and tokens weigh differently: by group, by row (row-shares.ts), or by the row's own loss
 * (loss-weights.ts); and the loss of every group beside it.
 */
import { countedByRow, targetsOf } from "../data/targets.ts";
import type { Model } from "../model/model.ts";
import { fillInputs, fillTargets, recordInputs, recordTargets } from "../run/batch-programs.ts";
import { type Objective, ofBatch, type RecordedLoss } from "../run/training/objective.ts";
import { div, mul, stopGradient } from "../tensor/ops/elementwise.ts";
import { headLoss } from "../tensor/ops/head-loss.ts";
import { dot, rowSum } from "../tensor/ops/reduce.ts";
import type { Program } from "../tensor/program.ts";
import type { Recorder } from "../tensor/recorder.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { TaskLoss } from "./contract.ts";
import { focal, leftOutOf, lossWeights, type SampleWeight } from "./loss-weights.ts";
import { denominatorOf, rowShares } from "./row-shares.ts";
import type { CurriculumBatch } from "./source.ts";

export interface CurriculumLoss {
  readonly model: Model;
  readonly names: readonly string[];
  readonly taskLoss: TaskLoss;
  readonly sampleWeight: SampleWeight;
  /** gamma of task-focal. */
  readonly focus: number;
  readonly recompute: boolean;
  /** Current weight of every group: of its tokens or rows, or of its mean with a loss by task. */
  groupWeights(): readonly number[] | undefined;
}

/** Tokens that count, by row. */
const countsOf = ({ batch }: CurriculumBatch): Float32Array => countedByRow(targetsOf(batch), batch.rows);

/**
 * Losses of rows or tokens with the weights that they are summed with: (N) and (N), or (B) and (B) where rows weigh by
 * their loss.
 */
function weighed(
  rec: Recorder,
  { sampleWeight, taskLoss, focus }: CurriculumLoss,
  { batch }: CurriculumBatch,
  nll: Tensor,
): [losses: Tensor, weights: Tensor] {
  const { rows, length } = batch;
  if (sampleWeight === "uniform" && taskLoss !== "task-focal") return [nll, rec.input("weights", [rows * length])];
  const sums = rowSum(rec, rec.reshape(nll, [rows, length]));
  const means = div(rec, sums, rec.input("lengths", [rows])); // (B)
  const weights = rec.input("weights", [rows]);
  if (sampleWeight === "uniform") return [focal(rec, means, focus), weights];
  const own = lossWeights(rec, means, rec.input("left_out", [rows]), sampleWeight);
  return [mul(rec, own, means), weights];
}

/** Fills what the recording of a batch asks for besides tokens and targets. */
function fillWeights(
  program: Program,
  given: CurriculumLoss,
  batch: CurriculumBatch,
  targets: Int32Array,
  total: number,
) {
  const { sampleWeight, taskLoss } = given;
  const { groups } = batch;
  const rowOf = (i: number) => Math.floor(i / batch.batch.length);
  const counted = countsOf(batch);
  for (const g of given.names.keys())
    program.write(
      `group.${g}`,
      Float32Array.from(targets, (target, i) => (target >= 0 && groups[rowOf(i)] === g ? 1 : 0)),
    );
  if (program.takes("left_out")) program.write("left_out", leftOutOf(counted));
  const shares =
    sampleWeight === "uniform"
      ? rowShares({ taskLoss, groups, counted, weights: given.groupWeights() }, total)
      : Array.from(counted, (count) => (count > 0 ? 1 / total : 0));
  if (program.takes("lengths")) {
    program.write(
      "lengths",
      counted.map((count) => Math.max(1, count)),
    );
    program.write("weights", Float32Array.from(shares));
  } else {
    program.write(
      "weights",
      Float32Array.from(targets, (target, i) => (target < 0 ? 0 : shares[rowOf(i)]! / counted[rowOf(i)]!)),
    );
  }
}

/**
 * The objective of a curriculum. Metrics are `loss`, for every group with tokens in the step `loss.<group>`, and what
 * the model tells of itself.
 */
export function curriculumObjective(given: CurriculumLoss): Objective<CurriculumBatch> {
  const { model, names, taskLoss, sampleWeight, recompute } = given;
  return {
    name: "cross-entropy",
    ...ofBatch(({ batch }) => batch),
    counted(batch) {
      if (sampleWeight !== "uniform") return 1; // micro-batches weigh alike
      const { groups } = batch;
      return denominatorOf({ taskLoss, groups, counted: countsOf(batch), weights: given.groupWeights() });
    },

    record(rec, batch): RecordedLoss {
      const { rows, length } = batch.batch;
      const { hidden, head } = model.record(rec, recordInputs(rec, batch.batch), { recompute });
      const targets = recordTargets(rec, batch.batch);
      const nll = headLoss(rec, { hidden, head, width: model.sizes.outputs, targets }); // (N)
      const ofGroup = (g: number) => dot(rec, stopGradient(rec, nll), rec.input(`group.${g}`, [rows * length]));
      const groups = Object.fromEntries(names.map((_, g) => [`group.${g}`, ofGroup(g)]));
      const [losses, weights] = weighed(rec, given, batch, nll);
      return { backward: [[losses, weights]], metrics: { loss: dot(rec, losses, weights), ...groups } };
    },

    fill(program, batch, total) {
      fillInputs(program, batch.batch);
      fillWeights(program, given, batch, fillTargets(program, batch.batch), total);
    },

    report(metrics, batches) {
      const others = Object.entries(metrics).filter(([name]) => !name.startsWith("group."));
      const reported: Record<string, number> = Object.fromEntries(others);
      const totals = names.map(() => 0);
      for (const batch of batches) {
        const counted = countsOf(batch);
        for (const [row, group] of batch.groups.entries()) totals[group]! += counted[row]!;
      }
      for (const [g, name] of names.entries())
        if (totals[g]! > 0) reported[`loss.${name}`] = metrics[`group.${g}`]! / totals[g]!;
      return reported;
    },
  };
}
