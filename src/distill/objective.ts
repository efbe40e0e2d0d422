/**
 * The objective of distillation: a method's loss per row of logits, or per position of hidden states, and a loss of the
 * labels, as means over the rows that count.
 */
import { type Batch, batchKey, isPairs, isTokens } from "../data/batch.ts";
import { lossWeights } from "../data/targets.ts";
import type { Bound } from "../method/bind.ts";
import type { Model, Recorded } from "../model/model.ts";
import { fillInputs, fillTargets, recordInputs, recordTargets } from "../run/batch-programs.ts";
import type { Change, RecordedTeacher, Teacher } from "../run/teachers/teacher.ts";
import { type ChosenLoss, labelRows } from "../run/training/label-loss.ts";
import {
  fillMixup,
  type Mixing,
  mixedLosses,
  mixesFirst,
  type OtherLabels,
  otherLabels,
} from "../run/training/mixup.ts";
import { type Objective, ofBatch } from "../run/training/objective.ts";
import { RowMetrics } from "../run/training/row-metrics.ts";
import { crossEntropy } from "../tensor/ops/cross-entropy.ts";
import { add, mul, scale, stopGradient } from "../tensor/ops/elementwise.ts";
import { chunkedHead } from "../tensor/ops/head-loss.ts";
import { dot } from "../tensor/ops/reduce.ts";
import type { Parameter } from "../tensor/parameter.ts";
import type { Recorder } from "../tensor/recorder.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { DistillPart, LossWeights } from "./capability.ts";
import type { DistillMethod } from "./contract.ts";

export interface DistillSetup {
  readonly model: Model;
  readonly chosen: Bound<DistillMethod>;
  readonly teachers: readonly Teacher[];
  /** Weights beside the student's, by name. */
  readonly extra: ReadonlyMap<string, Parameter>;
  readonly weights: LossWeights;
  /** What the method's capabilities add to the losses. */
  readonly parts?: readonly Pick<DistillPart, "teacherRows" | "apart" | "positions">[];
  /** Whether activations are computed a second time on the way back. */
  readonly recompute?: boolean;
  /** Of the labels; cross-entropy when left out. */
  readonly loss?: ChosenLoss;
  /** Of classifiers: how the rows that teachers and student read are mixed. */
  readonly mixing?: Mixing | undefined;
}

const LABELS = "labels";
const DISTILL = "distill";

const MOVED = "moved";

const movedRows = (batch: Batch): number => ("moved" in batch ? (batch.moved ?? 0) : 0);

/** One recording: what student and teachers say, and the tensors that losses are made of. */
interface Recording {
  readonly rec: Recorder;
  readonly student: Recorded;
  readonly heard: readonly RecordedTeacher[];
  /** What the whole batch decides, a row each: (N, teachers) and (N). */
  readonly whole: { readonly shares: Tensor; readonly loss: Tensor } | undefined;
  /** The first teacher once more, with other tensors in the place of those that it notes. */
  again(change: Change): Recorded;
  readonly weights: LossWeights;
  readonly targets: Tensor;
  /** (N) 1 where a row is moved, of batches that have both. */
  readonly moved: Tensor | undefined;
  readonly notes: RowMetrics;
  /** (N) each of what the parts give besides, in the order of `names`; none for batches of others. */
  readonly given: readonly Tensor[];
  extra(name: string): Tensor;
}

export function distillObjective(setup: DistillSetup): Objective<Batch> {
  const { model, chosen, teachers, extra, parts = [], recompute = false } = setup;
  const { method } = chosen;
  const weightsOf = (part: string): LossWeights => ({
    distill: part === LABELS ? 0 : setup.weights.distill,
    labels: part === DISTILL ? 0 : setup.weights.labels,
  });
  // A loss that counts for nothing asks no teacher.
  const askedFor = (part: string) => (weightsOf(part).distill > 0 && (method.rows || method.states) ? teachers : []);
  return {
    name: method.name,
    ...(parts.some(({ apart }) => apart) ? { parts: [LABELS, DISTILL] } : {}),
    ...ofBatch((batch: Batch) => batch),
    key: (batch) =>
      [
        batchKey(batch),
        ...teachers.flatMap((teacher) => teacher.key?.(batch) ?? []),
        ...(givenOf(setup, batch).length > 0 ? ["given"] : []),
      ].join(" "),

    record(rec, batch, part) {
      const inputs = recordInputs(rec, batch);
      const replace = setup.mixing ? mixesFirst(rec) : undefined;
      const student = model.record(rec, inputs, { recompute, statistics: "batch", ...(replace ? { replace } : {}) });
      const heard = askedFor(part).map((teacher) => {
        const heard = teacher.record(rec, inputs, batch, replace);
        return { ...heard, along: [...heard.along, ...(heard.beside?.(student) ?? [])] };
      });
      const parameter = (name: string) => rec.parameter(extra.get(name)!);
      const recording: Recording = {
        ...{ rec, student, heard },
        again: (change) => teachers[0]!.record(rec, inputs, batch, change).outputs!,
        whole: heard.length > 0 ? wholeOf(setup, { rec, heard, extra: parameter }, batch) : undefined,
        weights: weightsOf(part),
        targets: recordTargets(rec, batch),
        moved: movedRows(batch) > 0 ? rec.input(MOVED, [batch.rows]) : undefined,
        notes: new RowMetrics(rec),
        given:
          heard.length > 0
            ? givenOf(setup, batch).map(([name]) => rec.input(`given.${name}`, [batch.rows * batch.length]))
            : [],
        extra: parameter,
      };
      const mean = rec.input("weights", [batch.rows * batch.length]); // 1 / total where a row counts
      const losses = rowLosses(setup, recording);
      const backward: [Tensor, Tensor][] = [[losses, mean]];
      const metrics: Record<string, Tensor> = {};
      let loss = dot(rec, losses, mean);
      if (method.states && recording.weights.distill > 0) {
        const apart = stateLosses(setup, recording, (name, x) => {
          metrics[name] = dot(rec, x, mean);
        });
        const weighted = scale(rec, apart, recording.weights.distill);
        metrics.distill = dot(rec, apart, mean);
        loss = add(rec, loss, dot(rec, weighted, mean));
        backward.push([weighted, mean]);
      }
      for (const [name, value] of recording.notes.means(mean)) metrics[name] = value;
      return { backward, metrics: { loss, ...metrics } };
    },

    fill(program, batch, total, part) {
      fillInputs(program, batch);
      program.write("weights", lossWeights(batch, fillTargets(program, batch), total));
      if (program.takes(MOVED))
        program.write(MOVED, new Float32Array(batch.rows).fill(1, batch.rows - movedRows(batch)));
      for (const teacher of askedFor(part)) teacher.fill?.(program, batch);
      for (const [name, numbers] of givenOf(setup, batch))
        if (program.takes(`given.${name}`)) program.write(`given.${name}`, numbers);
      if (!setup.mixing) return;
      if (isTokens(batch) || isPairs(batch)) throw new TypeError("only examples have classes");
      fillMixup(program, batch, setup.mixing);
    },
  };
}

/** Numbers of a batch's positions, in the order of their names. */
const givenOf = ({ parts = [] }: DistillSetup, batch: Batch): (readonly [string, Float32Array])[] =>
  parts.flatMap(({ positions }) => {
    const numbers = positions?.of(batch);
    return numbers ? positions!.names.map((name) => [name, numbers[name]!] as const) : [];
  });

/** What a method makes of all sequences together, spread over their rows. */
function wholeOf(
  { chosen: { method, values } }: DistillSetup,
  { rec, heard, extra }: Pick<Recording, "rec" | "heard" | "extra">,
  { rows, length }: Batch,
): Recording["whole"] {
  const rewards = heard.flatMap(({ reward }) => reward ?? []);
  if (!method.whole || rewards.length < heard.length) return undefined;
  const { shares, loss } = method.whole(rec, { rewards, values, extra });
  const ones = rec.constant(new Float32Array(rows * length).fill(1), [rows, length, 1], "positions");
  const spread = (x: Tensor, lead: number) => mul(rec, ones, rec.reshape(x, [lead, 1, heard.length]));
  const alike = mul(rec, rec.reshape(ones, [rows * length]), loss);
  return { shares: rec.reshape(spread(shares, rows), [rows * length, heard.length]), loss: alike };
}

/** Losses of rows of logits (N): the labels', the method's, and those of capabilities, each times its weight. */
function rowLosses(setup: DistillSetup, recording: Recording): Tensor {
  const { model, teachers } = setup;
  const { method } = setup.chosen;
  const other = setup.mixing ? otherLabels(recording.rec, recording.targets.shape[0]!) : undefined;
  const mixed = other ? [other.others, other.shares, other.rests, other.apart] : [];
  const { rec, student, heard, whole, weights, targets, moved, notes, given } = recording;
  const losses = chunkedHead(rec, {
    hidden: student.hidden,
    head: student.head,
    width: Math.max(model.sizes.outputs, ...(heard.length > 0 ? teachers : []).map(({ sizes }) => sizes?.outputs ?? 0)),
    along: [
      ...[targets, ...mixed, ...(moved ? [moved] : []), ...(whole ? [whole.shares] : []), ...given],
      ...heard.flatMap(({ along }) => along),
    ],
    loss(logits, [labels, ...all], hidden) {
      const more = all.slice(mixed.length);
      const own = moved && more.shift();
      const shares = whole && more.shift();
      const numbers = more.splice(0, given.length);
      notes.chunk(labels!);
      const terms: Tensor[] = [];
      if (weights.labels > 0) {
        const ofLabels = labelLoss(setup, rec, method.scores?.(rec, logits) ?? logits, labels!, all);
        const isCrossEntropy = setup.loss === undefined || setup.loss.loss.method.softens;
        const plain = isCrossEntropy && !setup.mixing && !method.scores;
        notes.add(plain ? "cross_entropy" : "label_loss", ofLabels);
        terms.push(scale(rec, ofLabels, weights.labels));
      }
      if (setup.chosen.method.rows && weights.distill > 0)
        terms.push(
          ...methodLosses(setup, recording, {
            ...{ logits, labels: labels!, hidden, moved: own, shares, rest: more },
            given: numbers,
          }),
        );
      if (terms.length === 0) return scale(rec, crossEntropy(rec, logits, labels!), 0);
      return terms.reduce((a, b) => add(rec, a, b));
    },
  });
  return whole ? add(rec, losses, whole.loss) : losses;
}

/** The labels' losses of a chunk (n); of mixed rows, `along` begins with what is known of the other labels. */
function labelLoss({ mixing, loss }: DistillSetup, rec: Recorder, logits: Tensor, labels: Tensor, along: Tensor[]) {
  if (!mixing) return loss ? labelRows(rec, loss, logits, labels) : crossEntropy(rec, logits, labels);
  const [others, shares, rests, apart] = along;
  const other: OtherLabels = { others: others!, shares: shares!, rests: rests!, apart: apart! };
  return mixedLosses(rec, logits, labels, other, loss);
}

/** A chunk of rows; `rest` is what teachers have along with them. */
interface Chunk {
  readonly logits: Tensor;
  readonly labels: Tensor;
  readonly hidden: Tensor;
  readonly moved: Tensor | undefined;
  readonly shares: Tensor | undefined;
  readonly given: readonly Tensor[];
  readonly rest: readonly Tensor[];
}

/** The method's loss of a chunk times its weight, and what capabilities add. */
function methodLosses(
  { chosen: { method, values }, parts = [] }: DistillSetup,
  { rec, heard, weights, notes, extra }: Recording,
  { logits, labels, hidden, moved, shares, given, rest }: Chunk,
): Tensor[] {
  const seen = split(heard, rest);
  const student = heard[0]!.student(rec, logits, seen[0]!);
  const theirs = heard.map((teacher, k) => teacher.logits(rec, seen[k]!));
  const names = parts.flatMap(({ positions }) => positions?.names ?? []);
  const loss = method.rows!(rec, {
    student,
    teachers: theirs.map((x) => (x.needsGrad ? stopGradient(rec, x) : x)),
    targets: heard[0]!.targets?.(seen[0]!) ?? labels,
    hidden,
    moved,
    shares,
    ...(given.length > 0 ? { given: (name: string) => given[names.indexOf(name)]! } : {}),
    own: (k) => (k === 0 ? student : heard[k]!.student(rec, logits, seen[k]!)),
    spans: heard[0]!.spans?.(seen[0]!),
    values,
    extra,
    note: (name, x) => notes.add(name, x),
  });
  notes.add("distill", loss);
  const learnt = parts.flatMap(({ teacherRows }) => {
    if (!teacherRows) return [];
    const own = teacherRows(rec, { student: stopGradient(rec, student), teacher: theirs[0]!, targets: labels });
    notes.add("teacher_loss", own);
    return [own];
  });
  return [weights.distill === 1 ? loss : scale(rec, loss, weights.distill), ...learnt];
}

/** The method's losses of hidden states (N). */
function stateLosses(
  { model, chosen: { method, values }, teachers }: DistillSetup,
  { rec, student, heard, again, extra }: Recording,
  note: (name: string, x: Tensor) => void,
): Tensor {
  const sizes = { student: model.sizes, teacher: teachers[0]!.sizes! };
  return method.states!(rec, { student, teacher: heard[0]!.outputs!, again, sizes, values, extra, note });
}

/** The tensors of each teacher out of those of all. */
function split(recorded: readonly RecordedTeacher[], all: readonly Tensor[]): Tensor[][] {
  let at = 0;
  return recorded.map(({ along }) => {
    at += along.length;
    return all.slice(at - along.length, at);
  });
}
