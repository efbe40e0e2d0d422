/**
 * Cross-entropy whose rows and tokens weigh differently: by group, by row, or by the row's own loss; and the loss of every group beside
 * it.
 *
 * Task losses are those of MFTCoder (https://arxiv.org/abs/2311.02303), a mean over tokens, rows, or first within each group. Weights by
 * loss are those of Sow et al., ICLR 2025 (https://arxiv.org/abs/2502.06733):
 *   h = (2 l - (max + min)) / max(max - min, 1e-6);   linupper min(h + 1, 1), quadratic 1 - h^2, extremes |h|
 *   w = softmax(f / r) over the batch, held fixed;    loss = sum w l,  l the mean loss of a row
 */
import { countedByRow, targetsOf } from "../data/targets.ts";
import type { Model } from "../model/model.ts";
import { fillInputs, fillTargets, recordInputs, recordTargets } from "../run/batch-programs.ts";
import { type Objective, ofBatch } from "../run/training/objective.ts";
import {
  abs,
  add,
  addScalar,
  clamp,
  div,
  exp,
  log,
  maximum,
  minimum,
  mul,
  neg,
  scale,
  square,
  stopGradient,
  sub,
} from "../tensor/ops/elementwise.ts";
import { headLoss } from "../tensor/ops/head-loss.ts";
import { dot, rowMax, rowSum } from "../tensor/ops/reduce.ts";
import { dynamic, type Recorder } from "../tensor/recorder.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { CurriculumBatch } from "./source.ts";

export type TaskLoss = "token-mean" | "sample-mean" | "task-token-mean" | "task-sample-mean" | "task-focal";
export type SampleWeight = "uniform" | "linupper" | "quadratic" | "extremes";

export interface CurriculumLoss {
  readonly model: Model;
  readonly names: readonly string[];
  readonly taskLoss: TaskLoss;
  readonly sampleWeight: SampleWeight;
  /** gamma of task-focal. */
  readonly focus: number;
  readonly recompute: boolean;
  /** Weight of every group, as it is now: of its tokens or rows, or of its mean with a loss by task. */
  groupWeights(): readonly number[] | undefined;
}

/** Weights of rows by their own losses (B), which sum to 1 and take no gradient. `inverse` is 1 / r. */
export function lossWeights(rec: Recorder, losses: Tensor, kind: Exclude<SampleWeight, "uniform">): Tensor {
  const l = stopGradient(rec, losses);
  const rows = l.shape[0]!;
  const over = (x: Tensor) => rec.reshape(rowMax(rec, rec.reshape(x, [1, rows])), [1]);
  const most = over(l);
  const least = neg(rec, over(neg(rec, l)));
  const constant = (value: number) => rec.constant(Float32Array.of(value), [1], String(value));
  const spread = maximum(rec, sub(rec, most, least), constant(1e-6));
  const h = div(rec, sub(rec, scale(rec, l, 2), add(rec, most, least)), spread);
  const f =
    kind === "linupper"
      ? minimum(rec, addScalar(rec, h, 1), constant(1))
      : kind === "quadratic"
        ? addScalar(rec, neg(rec, square(rec, h)), 1)
        : abs(rec, h);
  const raised = exp(rec, scale(rec, sub(rec, f, over(f)), dynamic("inverse_r")));
  const sum = rowSum(rec, rec.reshape(raised, [1, rows])); // (1)
  return stopGradient(rec, div(rec, raised, rec.reshape(sum, [1])));
}

/** (1 - exp(-l))^gamma l of every row: (B) -> (B). Lin et al. 2017, https://arxiv.org/abs/1708.02002 */
export function focal(rec: Recorder, losses: Tensor, gamma: number): Tensor {
  if (gamma === 0) return losses;
  const missing = clamp(rec, addScalar(rec, neg(rec, exp(rec, neg(rec, losses))), 1), 1e-12, 1);
  return mul(rec, exp(rec, scale(rec, log(rec, missing), gamma)), losses);
}

export function curriculumObjective(given: CurriculumLoss): Objective<CurriculumBatch> {
  const { model, names, taskLoss, sampleWeight, focus, recompute } = given;
  const perRow = sampleWeight !== "uniform" || taskLoss === "task-focal";
  const weightOf = (group: number) => given.groupWeights()?.[group] ?? 1;

  /** Tokens that count, by row. */
  const counts = ({ batch }: CurriculumBatch): Float32Array => countedByRow(targetsOf(batch), batch.rows);
  const sumBy = (groups: Int32Array, of: (row: number) => number) => {
    const sums = names.map(() => 0);
    for (const [row, group] of groups.entries()) sums[group]! += of(row);
    return sums;
  };

  return {
    name: "cross-entropy",
    ...ofBatch(({ batch }) => batch),
    counted(batch) {
      if (perRow || taskLoss.startsWith("task")) return 1; // micro-batches weigh alike
      const lengths = counts(batch);
      const ofRow = (row: number) => (taskLoss === "sample-mean" ? Number(lengths[row]! > 0) : lengths[row]!);
      return batch.groups.reduce((sum, group, row) => sum + weightOf(group) * ofRow(row), 0);
    },

    record(rec, { batch }) {
      const { length } = batch;
      const n = batch.rows * length;
      const { hidden, head } = model.record(rec, recordInputs(rec, batch), { recompute });
      const targets = recordTargets(rec, batch);
      const nll = headLoss(rec, { hidden, head, width: model.sizes.outputs, targets }); // (N)
      const metrics: Record<string, Tensor> = {};
      for (const i of names.keys())
        metrics[`group.${i}`] = dot(rec, stopGradient(rec, nll), rec.input(`group.${i}`, [n]));
      if (!perRow) {
        const mean = rec.input("weights", [n]);
        return { backward: [[nll, mean]], metrics: { loss: dot(rec, nll, mean), ...metrics } };
      }
      const lengths = rec.input("lengths", [batch.rows]);
      const rows = div(rec, rowSum(rec, rec.reshape(nll, [batch.rows, length])), lengths); // (B)
      const mean = rec.input("weights", [batch.rows]);
      if (sampleWeight === "uniform") {
        const losses = focal(rec, rows, focus);
        return { backward: [[losses, mean]], metrics: { loss: dot(rec, losses, mean), ...metrics } };
      }
      const weighted = mul(rec, lossWeights(rec, rows, sampleWeight), rows);
      return { backward: [[weighted, mean]], metrics: { loss: dot(rec, weighted, mean), ...metrics } };
    },

    fill(program, given, total) {
      const { batch, groups } = given;
      fillInputs(program, batch);
      const targets = fillTargets(program, batch);
      const lengths = counts(given);
      const rowOf = (i: number) => Math.floor(i / batch.length);
      for (const g of names.keys())
        program.write(
          `group.${g}`,
          Float32Array.from(targets, (target, i) => (target >= 0 && groups[rowOf(i)] === g ? 1 : 0)),
        );
      if (program.takes("lengths"))
        program.write(
          "lengths",
          lengths.map((count) => Math.max(1, count)),
        );
      const present = sumBy(groups, (row) => Number(lengths[row]! > 0));
      const tokens = sumBy(groups, (row) => lengths[row]!);
      const shares = names.map((_, g) => (present[g]! > 0 ? weightOf(g) : 0));
      const all = shares.reduce((a, b) => a + b, 0);
      const ofRow = (row: number): number => {
        const g = groups[row]!;
        if (lengths[row] === 0) return 0;
        if (sampleWeight !== "uniform") return 1 / total;
        if (taskLoss === "task-focal" || taskLoss === "task-sample-mean")
          return shares[g]! / (all * present[g]! * total);
        if (taskLoss === "task-token-mean") return (shares[g]! * lengths[row]!) / (all * tokens[g]! * total);
        return (weightOf(g) * (taskLoss === "sample-mean" ? 1 : lengths[row]!)) / total;
      };
      program.write(
        "weights",
        perRow
          ? Float32Array.from(groups, (_, row) => ofRow(row))
          : Float32Array.from(targets, (target, i) => (target < 0 ? 0 : ofRow(rowOf(i)) / lengths[rowOf(i)]!)),
      );
    },

    report(metrics, batches) {
      const reported: Record<string, number> = { loss: metrics.loss! };
      const totals = names.map(() => 0);
      for (const batch of batches) {
        const lengths = counts(batch);
        for (const [row, group] of batch.groups.entries()) totals[group]! += lengths[row]!;
      }
      for (const [g, name] of names.entries())
        if (totals[g]! > 0) reported[`loss.${name}`] = metrics[`group.${g}`]! / totals[g]!;
      return reported;
    },
  };
}
