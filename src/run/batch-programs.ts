/** A batch of tokens or examples in a program: what a recording declares, and what fills it before each run. */
import { type Batch, type ExampleBatch, isPairs, isTokens, type PairsBatch, type TokenBatch } from "../data/batch.ts";
import { targetsOf } from "../data/targets.ts";
import { UserError } from "../errors.ts";
import type { Inputs, PairInputs, TokenInputs } from "../model/architecture.ts";
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
  const tasks = (count: number) => {
    known ??= rec.input(`${prefix}tasks`, [isPairs(batch) ? rows + batch.candidates : rows, count]);
    return known;
  };
  if (!isTokens(batch)) return { ...recordExamples(rec, batch, prefix), tasks };
  const n = rows * length;
  const tokenShares = () => rec.input(`${prefix}token shares`, [n, 1]);
  return {
    lasts: lastsInput(rec, rows, prefix),
    batch: rows,
    length,
    tasks,
    tokenShares,
    prompts: () => rec.input(`${prefix}prompts`, [n, 1]),
    ids: rec.input(`${prefix}ids`, [n], "i32"),
    positions: rec.input(`${prefix}positions`, [n], "i32"),
    ...(batch.packed ? { segments: rec.input(`${prefix}segments`, [rows, length], "i32") } : {}),
  };
}

function recordExamples(rec: Recorder, batch: ExampleBatch, prefix: string): Inputs {
  const { rows } = batch;
  if (!("tokens" in batch)) return { batch: rows, x: rec.input(`${prefix}x`, [rows, ...batch.shape]) };
  const { width, tokens } = batch;
  const texts = tokens.ids.length / width;
  return {
    batch: texts,
    length: width,
    ids: rec.input(`${prefix}ids`, [texts * width], "i32"),
    segments: rec.input(`${prefix}segments`, [texts, width], "i32"),
    types: rec.input(`${prefix}types`, [texts * width], "i32"),
    shares: rec.input(`${prefix}shares`, [texts, width]),
    tokenShares: () => rec.input(`${prefix}token shares`, [texts * width, 1]),
    lasts: lastsInput(rec, texts, prefix),
    ...(isPairs(batch) ? { pairs: recordPairs(rec, batch, prefix) } : {}),
  };
}

/** Places of rows' last tokens: the name of the input says which token is none. */
const lastsInput = (rec: Recorder, rows: number, prefix: string) => (padding: number | undefined) =>
  rec.input(`${prefix}lasts but ${padding ?? "none"}`, [rows], "i32");

/** What the rows of a batch are made of: ids (rows, width), and how many of a row are tokens. */
function rowsOfIds(batch: Batch): { readonly ids: Int32Array; readonly width: number; lengthOf(row: number): number } {
  if (isTokens(batch)) return { ids: batch.ids, width: batch.length, lengthOf: (row) => batch.lengths[row]! };
  if (!("tokens" in batch)) throw new TypeError("rows of numbers have no last token");
  const { width, tokens } = batch;
  const lengthOf = (row: number) => {
    const end = tokens.segments.subarray(row * width, (row + 1) * width).lastIndexOf(1);
    return end + 1;
  };
  return { ids: tokens.ids, width, lengthOf };
}

/** The place of every row's last token that is not `padding`, as transformers finds it. */
export function lastPlaces(batch: Batch, padding: number | undefined): Int32Array {
  const { ids, width, lengthOf } = rowsOfIds(batch);
  return Int32Array.from({ length: ids.length / width }, (_, row) => {
    let last = lengthOf(row) - 1;
    while (last > 0 && ids[row * width + last] === padding) last--;
    return row * width + Math.max(0, last);
  });
}

/** Fills the places of last tokens where a recording asks for them; `placesOf` gives them by the token that is none. */
export function fillLastPlaces(
  program: Program,
  placesOf: (padding: number | undefined) => Int32Array,
  prefix = "",
): void {
  const before = `${prefix}lasts but `;
  for (const name of program.inputNames())
    if (name.startsWith(before)) {
      const padding = name.slice(before.length);
      program.write(name, placesOf(padding === "none" ? undefined : Number(padding)));
    }
}

const recordPairs = (rec: Recorder, { rows, candidates }: PairsBatch, prefix: string): PairInputs => ({
  rows,
  candidates,
  apart: rec.input(`${prefix}apart`, [rows, candidates]),
});

/**
 * Rows that are 1 at the task of each row, or of each text of pairs. Throws UserError for a row of several, and for a
 * task that is not among the `count` first.
 */
function tasksOf(batch: Batch, count: number): Float32Array {
  const tasks = isPairs(batch) ? batch.textTasks : batch.tasks;
  if (batch.tasks.includes(-1))
    throw new UserError(
      "rows of several groups are packed together, and this model asks for the task of each",
      "leave them unpacked",
    );
  const marked = new Float32Array(tasks.length * count);
  for (const [row, task] of tasks.entries()) {
    if (task >= count)
      throw new UserError(
        `the data has rows of ${task + 1} groups or more, and the model knows ${count} of them as tasks`,
        "name the groups that it was trained on, in the same order, or train one for more tasks",
      );
    marked[row * count + task] = 1;
  }
  return marked;
}

/** 1 / tokens of the batch for every token, 0 for padding. */
export function tokenShares(batch: Batch): Float32Array {
  const are = isTokens(batch)
    ? filledPlaces(batch)
    : Float32Array.from("tokens" in batch ? batch.tokens.segments : [], (segment) => (segment > 0 ? 1 : 0));
  const tokens = are.reduce((a, b) => a + b, 0);
  return are.map((is) => is / tokens);
}

/** 1 for the tokens before the first that counts; of rows where that is the first that is foreseen, for all tokens. */
function promptPlaces({ rows, length, lengths, labels }: TokenBatch): Float32Array {
  const are = new Float32Array(rows * length);
  for (const [row, own] of lengths.entries()) {
    const asked = labels.subarray(row * length, row * length + own).findIndex((label) => label >= 0);
    are.fill(1, row * length, row * length + (asked > 1 ? asked : own));
  }
  return are;
}

/** 1 where a row has a token. */
function filledPlaces({ rows, length, lengths }: TokenBatch): Float32Array {
  const are = new Float32Array(rows * length);
  for (const [row, own] of lengths.entries()) are.fill(1, row * length, row * length + own);
  return are;
}

/**
 * Fills what `recordInputs` declared. Throws UserError for rows whose tasks a model or its adapter asks for and does
 * not know.
 */
export function fillInputs(program: Program, batch: Batch, prefix = ""): void {
  const marks = program.inputShape(`${prefix}tasks`);
  if (marks) program.write(`${prefix}tasks`, tasksOf(batch, marks[1]!));
  const shares = `${prefix}token shares`;
  if (program.takes(shares)) program.write(shares, tokenShares(batch));
  fillLastPlaces(program, (padding) => lastPlaces(batch, padding), prefix);
  if (!isTokens(batch)) {
    const pairs = isPairs(batch) ? { apart: batch.apart } : {};
    const inputs = "tokens" in batch ? { ...batch.tokens, ...pairs } : { x: batch.x };
    for (const [name, values] of Object.entries(inputs))
      if (program.takes(prefix + name)) program.write(prefix + name, values);
    return;
  }
  if (program.takes(`${prefix}prompts`)) program.write(`${prefix}prompts`, promptPlaces(batch));
  program.write(`${prefix}ids`, batch.ids);
  if (program.takes(`${prefix}positions`)) program.write(`${prefix}positions`, batch.positions);
  if (batch.packed) program.write(`${prefix}segments`, batch.segments);
}

/** Declares the numbers that a regressor is to predict, (N, K). */
export const recordNumbers = (rec: Recorder, { rows }: Batch, count: number): Tensor =>
  rec.input("numbers", [rows, count]);

/** Fills what `recordNumbers` declared; gives the numbers. Throws TypeError for rows that have none. */
export function fillNumbers(program: Program, batch: Batch): Float32Array {
  if (!("y" in batch) || !batch.y) throw new TypeError("the rows have no numbers to predict");
  program.write("numbers", batch.y);
  return batch.y;
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
