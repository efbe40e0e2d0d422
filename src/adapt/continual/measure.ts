/** What a model scores on every task of a stream: loss, and of classifiers accuracy. */
import { type Batch, batchKey } from "../../data/batch.ts";
import type { Model } from "../../model/model.ts";
import { fillInputs, fillTargets, recordInputs, recordTargets } from "../../run/batch-programs.ts";
import { Programs } from "../../run/programs.ts";
import { concat } from "../../tensor/concat.ts";
import { scoreTokens } from "../../tensor/ops/cross-entropy.ts";
import { add } from "../../tensor/ops/elementwise.ts";
import { chunkRows } from "../../tensor/ops/head-loss.ts";
import type { Learner, TaskScore } from "./contract.ts";
import type { PartBatch, RowRef } from "./rows.ts";
import type { Views } from "./views.ts";

export interface MeasureOptions {
  readonly model: Model;
  readonly views: Views | undefined;
  /** Answers in the place of the head. */
  readonly classify?: Learner["classify"];
  /** Outputs that rows of a task may be given. */
  visible(task: number): readonly number[];
}

/** Scores a model on batches of each task, one score a task. */
export async function measureTasks(
  options: MeasureOptions,
  tasks: readonly (readonly PartBatch[])[],
): Promise<TaskScore[]> {
  const programs = new Programs(options.model.gpu);
  const isClassifier = options.model.task !== "causal-lm";
  const scores: TaskScore[] = [];
  try {
    for (const batches of tasks) {
      let [loss, counted, right] = [0, 0, 0];
      for (const batch of batches) {
        const { nll, guesses, targets } = await scoreBatch(options, programs, batch);
        for (const [i, target] of targets.entries()) {
          if (target < 0) continue;
          loss += nll[i]!;
          counted++;
          if (guesses[i] === target) right++;
        }
      }
      scores.push({ loss: loss / counted, ...(isClassifier ? { accuracy: right / counted } : {}), counted });
    }
  } finally {
    programs.free();
  }
  return scores;
}

async function scoreBatch(
  { model, views, classify, visible }: MeasureOptions,
  programs: Programs,
  { batch, refs }: PartBatch,
): Promise<{ nll: Float32Array; guesses: ArrayLike<number>; targets: Int32Array }> {
  const { program } = await programs.get(batchKey(batch), (rec) => {
    const { hidden, head } = model.record(rec, recordInputs(rec, batch));
    const rows = chunkRows(model.sizes.outputs, rec.profile.maxBinding);
    const labels = rec.split(recordTargets(rec, batch), rows);
    const masks = views ? rec.split(views.record(rec, batch.rows), rows) : [];
    const parts = rec.split(hidden, rows).map((part, i) => {
      const logits = head(part);
      return scoreTokens(rec, views ? add(rec, logits, masks[i]!) : logits, labels[i]!, {});
    });
    for (const name of ["nll", "argmax"] as const)
      rec.output(
        name,
        concat(
          rec,
          parts.map((part) => part[name]),
          name,
        ),
      );
    if (classify) rec.output("hidden", hidden);
  });
  fillInputs(program, batch);
  const targets = fillTargets(program, batch);
  views?.fill(program, refs);
  program.run();
  const [nll, argmax] = await Promise.all([program.read("nll"), program.readWords("argmax")]);
  if (!classify) return { nll, guesses: argmax, targets };
  return { nll, guesses: await classified(classify, await program.read("hidden"), batch, refs, visible), targets };
}

/** Classes by what the head reads, row by row: rows of other tasks may be given other classes. */
function classified(
  classify: NonNullable<Learner["classify"]>,
  hidden: Float32Array,
  { rows }: Batch,
  refs: readonly RowRef[],
  visible: (task: number) => readonly number[],
): Int32Array {
  const width = hidden.length / rows;
  const guesses = new Int32Array(rows);
  for (const [i, { task }] of refs.entries())
    guesses[i] = classify(hidden.subarray(i * width, (i + 1) * width), width, visible(task))[0]!;
  return guesses;
}
