/**
 * The objective of distillation: a method's loss per row of logits, or per position of hidden states, and the labels' cross-entropy,
 * as means over the rows that count.
 */
import { type Batch, batchKey } from "../data/batch.ts";
import { meanWeights } from "../data/targets.ts";
import type { Model } from "../model/model.ts";
import { fillInputs, fillTargets, recordInputs, recordTargets } from "../run/batch-programs.ts";
import type { OtherTokens, RecordedTeacher, Teacher } from "../run/teachers/teacher.ts";
import type { CachedRows } from "../run/teachers/teacher-cache.ts";
import { type Objective, ofBatch } from "../run/training/objective.ts";
import { Notes } from "../run/training/record-metrics.ts";
import { crossEntropy } from "../tensor/ops/cross-entropy.ts";
import { add, scale, stopGradient } from "../tensor/ops/elementwise.ts";
import { chunkedHead } from "../tensor/ops/head-loss.ts";
import { dot } from "../tensor/ops/reduce.ts";
import type { Parameter } from "../tensor/parameter.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { DistillMethod } from "./contract.ts";

export interface DistillBatch {
  readonly batch: Batch;
  /** What a cached teacher says of it. */
  readonly cached?: CachedRows;
  /** The same texts in the teacher's tokens, where those are others. */
  readonly other?: OtherTokens;
}

export interface DistillSetup {
  readonly model: Model;
  readonly method: DistillMethod;
  readonly teachers: readonly Teacher[];
  readonly values: Readonly<Record<string, unknown>>;
  readonly extra: ReadonlyMap<string, Parameter>;
  readonly weights: { readonly distill: number; readonly labels: number };
  /** The teacher learns too. */
  readonly online?: boolean;
  /** Labels and the method's loss are parts of their own, in this order. */
  readonly apart?: boolean;
  readonly recompute?: boolean;
  /** Of the labels' cross-entropy. */
  readonly smoothing?: number;
  readonly zLoss?: number;
}

const LABELS = "labels";
const DISTILL = "distill";

export function distillObjective(setup: DistillSetup): Objective<DistillBatch> {
  const { model, method, teachers, extra, online = false, apart = false, recompute = false } = setup;
  const { smoothing = 0, zLoss = 0 } = setup;
  const softened = { ...(smoothing > 0 ? { smoothing } : {}), ...(zLoss > 0 ? { zLoss } : {}) };
  const values = setup.values as never;
  const weightsOf = (part: string) => ({
    distill: part === LABELS ? 0 : setup.weights.distill,
    labels: part === DISTILL ? 0 : setup.weights.labels,
  });
  // A loss that counts for nothing asks no teacher.
  const askedFor = (part: string) => (weightsOf(part).distill > 0 && (method.rows || method.states) ? teachers : []);
  return {
    name: method.name,
    ...(apart ? { parts: [LABELS, DISTILL] } : {}),
    ...ofBatch(({ batch }) => batch),
    key: ({ batch, other }) => `${batchKey(batch)}${other ? ` ${batchKey(other.batch)}` : ""}`,

    record(rec, { batch, other }, part) {
      const weights = weightsOf(part);
      const asked = askedFor(part);
      const inputs = recordInputs(rec, batch);
      const n = batch.rows * batch.length;
      const student = model.record(rec, inputs, { recompute });
      const recorded = asked.map((teacher) => teacher.record(rec, inputs, n, other));
      const targets = recordTargets(rec, batch);
      const mean = rec.input("weights", [n]); // 1 / total where a row counts
      const extraOf = (name: string) => rec.parameter(extra.get(name)!);
      const notes = new Notes(rec);

      const losses = chunkedHead(rec, {
        hidden: student.hidden,
        head: student.head,
        width: Math.max(model.sizes.outputs, ...asked.map(({ sizes }) => sizes?.outputs ?? 0)),
        along: [targets, ...recorded.flatMap(({ along }) => along)],
        loss(logits, [labels, ...rest], hidden) {
          notes.chunk(labels!);
          const terms: Tensor[] = [];
          if (weights.labels > 0) {
            const nll = crossEntropy(rec, logits, labels!, softened);
            notes.add("cross_entropy", nll);
            terms.push(scale(rec, nll, weights.labels));
          }
          if (method.rows && weights.distill > 0) {
            const seen = split(recorded, rest);
            const own = recorded[0]!.student(rec, logits, seen[0]!);
            const theirs = recorded.map((teacher, k) => teacher.logits(rec, seen[k]!));
            const loss = method.rows(rec, {
              student: own,
              teachers: theirs.map((x) => (x.needsGrad ? stopGradient(rec, x) : x)),
              targets: recorded[0]!.targets?.(seen[0]!) ?? labels!,
              hidden,
              values,
              extra: extraOf,
              note: (name, x) => notes.add(name, x),
            });
            notes.add("distill", loss);
            terms.push(weights.distill === 1 ? loss : scale(rec, loss, weights.distill));
            if (online) {
              const learnt = method.teacherRows!(rec, {
                student: stopGradient(rec, own),
                teacher: theirs[0]!,
                targets: labels!,
                values,
              });
              notes.add("teacher_loss", learnt);
              terms.push(learnt);
            }
          }
          if (terms.length === 0) return scale(rec, crossEntropy(rec, logits, labels!), 0);
          return terms.reduce((a, b) => add(rec, a, b));
        },
      });

      const backward: [Tensor, Tensor][] = [[losses, mean]];
      const metrics: Record<string, Tensor> = {};
      let total = dot(rec, losses, mean);
      if (method.states && weights.distill > 0) {
        const teacher = recorded[0]!.outputs!;
        const sizes = { student: model.sizes, teacher: teachers[0]!.sizes! };
        const apart = method.states(rec, { student, teacher, sizes, values, extra: extraOf }); // (N)
        const weighted = scale(rec, apart, weights.distill);
        metrics.distill = dot(rec, apart, mean);
        total = add(rec, total, dot(rec, weighted, mean));
        backward.push([weighted, mean]);
      }
      for (const [name, value] of notes.means(mean)) metrics[name] = value;
      return { backward, metrics: { loss: total, ...metrics } };
    },

    fill(program, { batch, cached, other }, total, part) {
      fillInputs(program, batch);
      program.write("weights", meanWeights(fillTargets(program, batch), total));
      for (const teacher of askedFor(part)) teacher.fill(program, cached, other);
    },
  };
}

/** The tensors of each teacher out of those of all. */
function split(recorded: readonly RecordedTeacher[], all: readonly Tensor[]): Tensor[][] {
  let at = 0;
  return recorded.map(({ along }) => {
    at += along.length;
    return all.slice(at - along.length, at);
  });
}
