/**
 * The objective of a stage: the labels' cross-entropy of the new rows, terms of the method on them, and further parts
 * with rows of their own. Each part is a pass with a program of its own, so that update rules may treat their gradients
 * apart. Without terms it is the objective of `train`, step for step.
 */
import { batchKey, placesOf } from "../../data/batch.ts";
import { lossWeights } from "../../data/targets.ts";
import { NORM_GAP } from "../../model/blocks/batch-norm.ts";
import type { Model, Recorded } from "../../model/model.ts";
import { fillInputs, fillTargets, recordInputs, recordTargets } from "../../run/batch-programs.ts";
import type { Objective, RecordedLoss } from "../../run/training/objective.ts";
import { RowMetrics } from "../../run/training/row-metrics.ts";
import { crossEntropy } from "../../tensor/ops/cross-entropy.ts";
import { add, mul, scale } from "../../tensor/ops/elementwise.ts";
import { chunkedHead } from "../../tensor/ops/head-loss.ts";
import { dot } from "../../tensor/ops/reduce.ts";
import type { Recorder } from "../../tensor/recorder.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import type { Part, RecordedTerm, StageWork, Term } from "./contract.ts";
import type { PartBatch } from "./rows.ts";
import { NEW, type StreamBatch } from "./source.ts";
import type { Views } from "./views.ts";

export interface StreamObjective {
  readonly model: Model;
  /** Which outputs a row may be given; undefined where all are. */
  readonly views: Views | undefined;
  readonly smoothing?: number;
  readonly zLoss?: number;
  readonly recompute?: boolean;
  /** Weight of the distance between a batch's statistics and the running ones, where norms tell it. */
  readonly normGap?: number;
}

type PartTerms = Pick<Part, "name" | "labels" | "terms">;

/** A term, and its part in one recording. */
interface Heard {
  readonly term: Term;
  readonly recorded: RecordedTerm;
}

export function stageObjective(setup: StreamObjective, work: StageWork): Objective<StreamBatch> {
  const { model, views, recompute = false } = setup;
  const parts = [{ name: NEW, ...work }, ...(work.parts ?? [])].map(activeTerms);
  const partOf = (name: string, batch: PartBatch) => {
    const part = parts.find((part) => part.name === name)!;
    return { ...part, terms: part.terms.filter((term) => takesPart(term, batch)) };
  };
  const all = (batch: StreamBatch): PartBatch[] => parts.map(({ name }) => batch[name]!);

  return {
    name: "continual",
    parts: parts.map(({ name }) => name),
    key: (batch) =>
      parts
        .map(({ name, terms }) => {
          const own = batch[name]!;
          const out = terms.filter((term) => !takesPart(term, own)).map((term) => ` without ${term.name}`);
          return `${batchKey(own.batch)}${out.join("")}`;
        })
        .join(" "),
    counted: (batch, part) => batch[part]!.batch.counted,
    size: (batch) => all(batch).reduce((sum, { batch: { rows, length } }) => sum + rows * length, 0),
    describe: (batch) => placesOf(batch[NEW]!.batch),

    record(rec, all, name): RecordedLoss {
      const own = all[name]!;
      const { labels = 1, terms } = partOf(name, own);
      const { rows, length } = own.batch;
      const inputs = recordInputs(rec, own.batch);
      const recorded = model.record(rec, inputs, { recompute, statistics: "batch" });
      const weights = rec.input("weights", [rows * length]); // 1 / total where a row counts
      const targets = recordTargets(rec, own.batch);
      const heard = terms.map((term) => ({ term, recorded: term.record(rec, { inputs, batch: own }) }));
      const notes = new RowMetrics(rec);
      const masks = views ? [views.record(rec, rows)] : [];
      const losses = chunkedHead(rec, {
        ...recorded,
        width: model.sizes.outputs,
        along: [targets, ...masks, ...heard.flatMap(({ recorded: { along } }) => along)],
        loss: (raw, [targets, ...rest], hidden) => {
          const logits = views ? add(rec, raw, rest[0]!) : raw;
          const chunk = { logits, raw, targets: targets!, hidden, rest: rest.slice(masks.length) };
          return rowLosses(rec, setup, { labels, heard, notes }, chunk);
        },
      }); // (N)
      const loss = dot(rec, losses, weights);
      const metrics = Object.fromEntries(notes.means(weights));
      const gap = setup.normGap ? normGap(rec, recorded) : undefined;
      const extra = [...(gap ? [{ metric: "norm_loss", seed: gap }] : [])].map((term) => ({
        ...term,
        value: mul(rec, ...term.seed),
      }));
      return {
        backward: [[losses, weights], ...extra.map(({ seed }) => seed)],
        metrics: {
          loss: extra.reduce((sum, { value }) => add(rec, sum, value), loss),
          ...Object.fromEntries(extra.map(({ metric, value }) => [metric, value])),
          ...metrics,
        },
      };
    },

    fill(program, all, total, name) {
      const own = all[name]!;
      fillInputs(program, own.batch);
      program.write("weights", lossWeights(own.batch, fillTargets(program, own.batch), total));
      views?.fill(program, own.refs);
      for (const term of partOf(name, own).terms) term.fill?.(program, own);
      if (setup.normGap && program.takes(NORM_SHARE))
        program.write(NORM_SHARE, Float32Array.of((setup.normGap * own.batch.counted) / total));
    },
  };
}

const NORM_SHARE = "norm_share";

/** The distances of all norms (1), and what they count of the step (1); undefined where no norm tells one. */
function normGap(rec: Recorder, { notes }: Recorded): readonly [Tensor, Tensor] | undefined {
  const gaps = [...notes].filter(([name]) => name.startsWith(NORM_GAP)).map(([, gap]) => gap);
  if (gaps.length === 0) return undefined;
  return [gaps.reduce((a, b) => add(rec, a, b)), rec.input(NORM_SHARE, [1])];
}

const takesPart = ({ active }: Term, { place }: PartBatch): boolean =>
  active === undefined || place === undefined || active(place);

/** A part without its terms of weight 0. */
const activeTerms = ({ name, labels, terms = [] }: PartTerms): PartTerms & { readonly terms: readonly Term[] } => ({
  name,
  ...(labels === undefined ? {} : { labels }),
  terms: terms.filter(({ weight }) => weight !== 0),
});

interface Chunk {
  readonly logits: Tensor;
  readonly raw: Tensor;
  readonly targets: Tensor;
  readonly hidden: Tensor;
  /** What terms have along, one after the other. */
  readonly rest: readonly Tensor[];
}

/** Losses of a chunk of rows (n): the labels' and the terms', each times its weight. */
function rowLosses(
  rec: Recorder,
  { smoothing, zLoss }: StreamObjective,
  { labels, heard, notes }: { readonly labels: number; readonly heard: readonly Heard[]; readonly notes: RowMetrics },
  { rest, ...rows }: Chunk,
): Tensor {
  const options = { ...(smoothing ? { smoothing } : {}), ...(zLoss ? { zLoss } : {}) };
  const losses: Tensor[] = [];
  if (heard.length > 0) notes.chunk(rows.targets);
  if (labels !== 0 || heard.length === 0) {
    const nll = crossEntropy(rec, rows.logits, rows.targets, options);
    if (heard.length > 0) notes.add("cross_entropy", nll);
    losses.push(labels === 1 ? nll : scale(rec, nll, labels));
  }
  let at = 0;
  for (const { term, recorded } of heard) {
    const along = rest.slice(at, at + recorded.along.length);
    at += along.length;
    const loss = recorded.rows(rec, { ...rows, along });
    notes.add(`${term.name}_loss`, loss);
    losses.push(term.weight === 1 ? loss : scale(rec, loss, term.weight));
  }
  return losses.reduce((a, b) => add(rec, a, b));
}
