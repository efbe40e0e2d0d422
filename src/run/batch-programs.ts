/** A batch of tokens or examples in a program: what a recording declares, and what fills it before each run. */
import { type Batch, type ExampleBatch, isTokens, type TokenBatch } from "../data/batch.ts";
import { targetsOf } from "../data/targets.ts";
import { UserError } from "../errors.ts";
import type { Inputs, TokenInputs } from "../model/architecture.ts";
import type { Program } from "../tensor/program.ts";
import type { Recorder } from "../tensor/recorder.ts";
import type { Tensor } from "../tensor/tensor.ts";

/**
 * Declares a model's inputs for batches of one shape. `prefix` tells several batches of one program apart.
 *
 *   const { hidden, head } = model.record(rec, recordInputs(rec, batch));
 */
export function recordInputs(rec: Recorder, batch: TokenBatch, prefix?: string): TokenInputs;
export function recordInputs(rec: Recorder, batch: Batch, prefix?: string): Inputs;
export function recordInputs(rec: Recorder, batch: Batch, prefix = ""): Inputs {
  const { rows, length } = batch;
  let known: Tensor | undefined;
  const tasks = () => {
    known ??= rec.input(`${prefix}tasks`, [rows], "i32");
    return known;
  };
  if (!isTokens(batch)) return { ...recordExamples(rec, batch, prefix), tasks };
  const n = rows * length;
  return {
    batch: rows,
    length,
    tasks,
    ids: rec.input(`${prefix}ids`, [n], "i32"),
    positions: rec.input(`${prefix}positions`, [n], "i32"),
    ...(batch.packed ? { segments: rec.input(`${prefix}segments`, [rows, length], "i32") } : {}),
  };
}

function recordExamples(rec: Recorder, batch: ExampleBatch, prefix: string): Inputs {
  const { rows } = batch;
  if (!("tokens" in batch)) return { batch: rows, x: rec.input(`${prefix}x`, [rows, ...batch.shape]) };
  const { width } = batch;
  return {
    batch: rows,
    length: width,
    ids: rec.input(`${prefix}ids`, [rows * width], "i32"),
    segments: rec.input(`${prefix}segments`, [rows, width], "i32"),
    types: rec.input(`${prefix}types`, [rows * width], "i32"),
    shares: rec.input(`${prefix}shares`, [rows, width]),
  };
}

/** The task of every row. Throws UserError for a row of several. */
function tasksOf({ tasks }: Batch): Int32Array {
  if (tasks.includes(-1))
    throw new UserError(
      "--pack puts rows of several groups together, and this adapter asks for the task of each",
      "leave out --pack",
    );
  return tasks;
}

/** Fills what `recordInputs` declared. Throws UserError for packed rows whose tasks an adapter asks for. */
export function fillInputs(program: Program, batch: Batch, prefix = ""): void {
  if (program.takes(`${prefix}tasks`)) program.write(`${prefix}tasks`, tasksOf(batch));
  if (!isTokens(batch)) {
    const inputs = "tokens" in batch ? batch.tokens : { x: batch.x };
    for (const [name, values] of Object.entries(inputs))
      if (program.takes(prefix + name)) program.write(prefix + name, values);
    return;
  }
  program.write(`${prefix}ids`, batch.ids);
  if (program.takes(`${prefix}positions`)) program.write(`${prefix}positions`, batch.positions);
  if (batch.packed) program.write(`${prefix}segments`, batch.segments);
}

/** Declares what the rows are to predict, (N) i32, negative where nothing counts. */
export const recordTargets = (rec: Recorder, { rows, length }: Batch, prefix = ""): Tensor =>
  rec.input(`${prefix}targets`, [rows * length], "i32");

/** Fills what `recordTargets` declared; gives the targets. */
export function fillTargets(program: Program, batch: Batch, prefix = ""): Int32Array {
  const targets = targetsOf(batch);
  program.write(`${prefix}targets`, targets);
  return targets;
}
