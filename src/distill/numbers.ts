/**
 * The objective of a student that predicts numbers: a method's loss of its outputs or hidden states, and the loss of
 * what rows say, as means over rows.
 */
import type { Batch } from "../data/batch.ts";
import { lossWeights, targetsOf } from "../data/targets.ts";
import { UserError } from "../errors.ts";
import type { Bound } from "../method/bind.ts";
import { methodsFor } from "../method/capability.ts";
import type { Task } from "../model/architecture.ts";
import { fillInputs, fillNumbers, recordInputs, recordNumbers } from "../run/batch-programs.ts";
import type { Change } from "../run/teachers/teacher.ts";
import type { LabelLoss } from "../run/training/label-loss.ts";
import { type Objective, ofBatch } from "../run/training/objective.ts";
import { add, scale, sub } from "../tensor/ops/elementwise.ts";
import { dot } from "../tensor/ops/reduce.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { LossWeights } from "./capability.ts";
import type { DistillMethod } from "./contract.ts";
import type { DistillSetup } from "./objective.ts";

/** Throws UserError for a method that compares what the student does not give. */
export async function checkOutputs({ name, numbers, rows, states }: DistillMethod, task: Task): Promise<void> {
  if (task === "regressor" && !numbers && !states)
    throw new UserError(
      `${name} compares distributions, and the student predicts numbers (problem_type regression)`,
      `of numbers: --method ${await methodsFor("distill", (method) => method.numbers !== undefined)}`,
    );
  if (task !== "regressor" && numbers && !rows)
    throw new UserError(
      `${name} compares numbers, and the student is a ${task}`,
      "problem_type regression in the config of an mlp makes it predict num_labels numbers; else take another method",
    );
}

/** Throws UserError for options of labels, and where numbers are learnt by a loss of labels. */
export function checkNumbers(
  weights: LossWeights,
  { method: loss }: Bound<LabelLoss>,
  options: {
    readonly mixup: number;
    readonly smoothing: number;
    readonly z_loss: number;
    readonly adversarial: boolean;
  },
): void {
  const { mixup, smoothing, z_loss, adversarial } = options;
  const odd = Object.entries({ mixup: mixup > 0, smoothing: smoothing > 0, z_loss: z_loss > 0, adversarial }).find(
    ([, isGiven]) => isGiven,
  );
  if (odd)
    throw new UserError(
      `--${odd[0].replaceAll("_", "-")} is for labels, and the student predicts numbers (problem_type regression)`,
      "leave it out",
    );
  if (weights.labels > 0 && !loss.errors)
    throw new UserError(
      `--loss ${loss.name} is a loss of labels, and the student predicts numbers (problem_type regression)`,
      "--loss mse, mae, huber and pseudo-huber are losses of numbers",
    );
}

export function numbersObjective(setup: DistillSetup, loss: Bound<LabelLoss>): Objective<Batch> {
  const { model, chosen, teachers, extra, weights } = setup;
  const { method, values } = chosen;
  const { outputs } = model.sizes;
  const asked = weights.distill > 0 ? teachers : [];
  return {
    name: method.name,
    ...ofBatch((batch: Batch) => batch),
    record(rec, batch) {
      const inputs = recordInputs(rec, batch);
      const student = model.record(rec, inputs, { statistics: "batch" });
      const heard = asked.map((teacher) => teacher.record(rec, inputs, batch));
      const mean = rec.input("weights", [batch.rows]); // 1 / total
      const wanted = recordNumbers(rec, batch, outputs); // (B, K)
      const found = student.head(student.hidden); // (B, K)
      const metrics: Record<string, Tensor> = {};
      const terms: Tensor[] = [];
      const term = (name: string, losses: Tensor, weight: number) => {
        metrics[name] = dot(rec, losses, mean);
        terms.push(weight === 1 ? losses : scale(rec, losses, weight));
      };
      const own = (name: string) => rec.parameter(extra.get(name)!);
      const note = (name: string, x: Tensor) => {
        metrics[name] = dot(rec, x, mean);
      };
      if (weights.labels > 0)
        term(
          "label_loss",
          loss.method.errors!(rec, { errors: sub(rec, found, wanted), values: loss.values }),
          weights.labels,
        );
      if (method.numbers && heard.length > 0) {
        const given = {
          student: found,
          teachers: heard.map((teacher) => teacher.logits(rec, teacher.along)),
          ...{ wanted, values, extra: own },
          note,
        };
        term("distill", method.numbers(rec, given), weights.distill);
      } else if (method.states && heard.length > 0) {
        const sizes = { student: model.sizes, teacher: teachers[0]!.sizes! };
        const again = (change: Change) => teachers[0]!.record(rec, inputs, batch, change).outputs!;
        const given = { student, teacher: heard[0]!.outputs!, again, sizes, values, extra: own, note };
        term("distill", method.states(rec, given), weights.distill);
      }
      const losses = terms.reduce((a, b) => add(rec, a, b));
      return { backward: [[losses, mean]], metrics: { loss: dot(rec, losses, mean), ...metrics } };
    },
    fill(program, batch, total) {
      fillInputs(program, batch);
      fillNumbers(program, batch);
      program.write("weights", lossWeights(batch, targetsOf(batch), total));
    },
  };
}
