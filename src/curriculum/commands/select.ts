/** `curriculum select`: scores rows with a model, and writes those that a selector chooses as they were. */

import { readFileSync } from "node:fs";
import type { Outcome } from "../../cli/context.ts";
import { type Batch, batchKey, collate } from "../../data/batch.ts";
import { countedTokens, inBatches, loadSequences } from "../../data/dataset.ts";
import type { Sequence } from "../../data/sequences.ts";
import { UserError } from "../../errors.ts";
import { openGpu } from "../../gpu/gpu.ts";
import { bindDefaults } from "../../method/bind.ts";
import { loadMethod } from "../../method/registry.ts";
import type { Model } from "../../model/model.ts";
import { architectureOf } from "../../model/registry.ts";
import { fillInputs, recordInputs } from "../../run/batch-programs.ts";
import { gradientNorms } from "../../run/scoring/gradient-norms.ts";
import { Scorer } from "../../run/scoring/scorer.ts";
import { groupsOf, textTools } from "../../run/training/data-source.ts";
import { start } from "../../run/training/starting-model.ts";
import { Program, profileOf } from "../../tensor/program.ts";
import { Recorder } from "../../tensor/recorder.ts";
import { humanBytes } from "../../text/format.ts";
import type { CurriculumContext } from "../command.ts";
import { textResult } from "../text-result.ts";
import { storedBytes } from "./graph.ts";

/** Every pair of rows is compared. */
const MOST_STATES = 5000;

function read(path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (error) {
    throw new UserError(`${path} cannot be read (${(error as NodeJS.ErrnoException).code})`, "is the path right?");
  }
}

/** Rows before they are read: place "file:line" to the line's text. */
function linesOf(paths: readonly string[]): Map<string, string> {
  const found = new Map<string, string>();
  for (const path of paths) {
    if (path === "-")
      throw new UserError("select reads its rows twice, which stdin cannot", "write them to a file first");
    const bytes = read(path);
    if (bytes.subarray(0, 4).toString("latin1") === "PAR1")
      throw new UserError(`${path} is a Parquet file; select writes lines of JSONL as they are`, "convert it first");
    const text = new TextDecoder("utf-8").decode(bytes);
    for (const [i, line] of text.split("\n").entries()) found.set(`${path}:${i + 1}`, line.replace(/\r$/, ""));
  }
  return found;
}

/** The mean of the last hidden states of every row, over its tokens. */
async function meanStates(
  model: Model,
  sequences: readonly Sequence[],
  pad: number,
  rows: number,
  signal: AbortSignal,
) {
  const programs = new Map<string, Program>();
  const states: Float64Array[] = [];
  for await (const part of inBatches(sequences, rows)) {
    signal.throwIfAborted();
    const batch = collate(
      part.map((sequence) => [sequence]),
      { pad },
    );
    let program = programs.get(batchKey(batch));
    if (!program) {
      const rec = new Recorder(profileOf(model.gpu), { training: false });
      rec.output("hidden", model.record(rec, recordInputs(rec, batch)).hidden);
      program = await Program.compile(model.gpu, rec);
      programs.set(batchKey(batch), program);
    }
    fillInputs(program, batch);
    program.run();
    const hidden = await program.read("hidden"); // (B T, C)
    const width = hidden.length / (batch.rows * batch.length);
    for (let row = 0; row < batch.rows; row++) {
      const state = new Float64Array(width);
      const tokens = batch.lengths[row]!;
      for (let t = 0; t < tokens; t++)
        for (let c = 0; c < width; c++) state[c]! += hidden[(row * batch.length + t) * width + c]! / tokens;
      states.push(state);
    }
  }
  for (const program of programs.values()) program.free();
  return states;
}

async function meanLosses(
  model: Model,
  sequences: readonly Sequence[],
  pad: number,
  rows: number,
  signal: AbortSignal,
) {
  const scorer = new Scorer(model);
  const losses: number[] = [];
  for await (const part of inBatches(sequences, rows)) {
    signal.throwIfAborted();
    const batch: Batch = collate(
      part.map((sequence) => [sequence]),
      { pad },
    );
    const { nll, targets } = await scorer.score(batch);
    for (let row = 0; row < part.length; row++) {
      const [from, to] = [row * batch.length, (row + 1) * batch.length];
      const counted = targets.subarray(from, to).filter((target) => target >= 0).length;
      losses.push(counted === 0 ? Number.NaN : nll.subarray(from, to).reduce((a, b) => a + b, 0) / counted);
    }
  }
  await scorer.free();
  return losses;
}

/** Throws UserError (exit 1), naming the row, where the model gives no number; a row of which no token counts has none. */
function checkKnown(
  sequences: readonly Sequence[],
  scores: readonly number[],
  states: readonly Float64Array[],
  ref: string,
): void {
  const odd = sequences.findIndex((sequence, i) => {
    if (states.length > 0) return !states[i]!.every(Number.isFinite);
    return countedTokens(sequence) > 0 && !Number.isFinite(scores[i]);
  });
  if (odd >= 0)
    throw new UserError(
      `${ref}: ${states.length > 0 ? "a hidden state" : `the score ${scores[odd]}`} of ${sequences[odd]!.place} is not finite`,
      `bun run inspect ${ref} --check looks for NaN in its weights`,
      1,
    );
}

export async function select(context: CurriculumContext): Promise<Outcome> {
  const { options, seed, signal } = context;
  const selector = await loadMethod("selector", options.select_by, "--select-by");
  const groups = groupsOf(options.data, "--data");
  const result = textResult(
    context,
    groups.map(({ path }) => path),
  );
  const lines = linesOf(groups.map(({ path }) => path));
  if (options.overflow === "split") throw new UserError("--overflow split makes several of one row", "leave it out");
  const begun = await start({
    ...options,
    model: context.args[1] ?? (options.init === undefined ? "-" : undefined),
    init: options.init,
    seed,
    warn: (text) => context.warn(text),
  });
  context.onExit(() => begun.close());
  const where = `${begun.ref}: config.json`;
  const architecture = await architectureOf(begun.json, where);
  if (architecture.task !== "causal-lm")
    throw new UserError(`${begun.ref} is a classifier; select scores rows of text`, "give a language model");
  const sizes = architecture.sizes(architecture.config(begun.json, where));
  const tools = await textTools(begun.files, begun.ref, sizes, options, (text) => context.warn(text));
  const { sequences } = await loadSequences(groups, tools.encode);
  const n = sequences.length;
  if (selector.needs === "states" && n > MOST_STATES)
    throw new UserError(
      `${selector.name} compares all pairs of rows, and there are ${n}; at most ${MOST_STATES}`,
      "select from parts, or by loss first",
    );
  const budget = Math.min(n, Math.max(1, Math.round(options.keep < 1 ? options.keep * n : options.keep)));
  if (context.dryRun) {
    const rows = selector.needs === "norms" ? 1 : options.batch_size;
    const tokens = sequences.reduce((sum, { ids }) => sum + ids.length, 0);
    const plan = { rows: n, tokens, keep: budget, batches: Math.ceil(n / rows), weights: storedBytes(begun) };
    const what = { losses: "losses", norms: "gradients", states: "hidden states" }[selector.needs];
    const count = (value: number) => value.toLocaleString("en-US");
    context.print(
      [
        `${selector.name}: keep ${count(budget)} of ${count(n)} rows, ${count(tokens)} tokens`,
        `${what} of ${count(plan.batches)} batches of ${rows}`,
        ...(plan.weights > 0 ? [`weights: ${humanBytes(plan.weights)} as stored`] : []),
      ].join("\n"),
    );
    context.json({ select_by: selector.name, ...plan });
    return {};
  }
  const model = await begun.load(await openGpu({ device: context.device }));
  const pad = tools.tokenizer?.pad ?? 0;
  const given = [model, sequences, pad] as const;
  const scores =
    selector.needs === "losses"
      ? await meanLosses(...given, options.batch_size, signal)
      : selector.needs === "norms"
        ? await gradientNorms(...given, signal)
        : [];
  const states = selector.needs === "states" ? await meanStates(...given, options.batch_size, signal) : [];
  checkKnown(sequences, scores, states, begun.ref);
  const { values } = bindDefaults(selector, { ...options });
  const { rows, notes } = selector.select({ scores, states, budget, seed, values });
  const chosen = options.ranked ? rows : [...rows].sort((a, b) => a - b);
  const kept = groups.map(({ name }, g) => {
    const of = (list: readonly Sequence[]) => list.filter(({ group }) => group === g).length;
    return { name, rows: of(sequences), kept: of(chosen.map((row) => sequences[row]!)) };
  });
  const share = kept.map(({ name, rows, kept }) => `${kept} of ${rows}${groups.length > 1 ? ` of ${name}` : ""}`);
  const known = (list: readonly number[]) => list.filter(Number.isFinite);
  const meanOf = (list: readonly number[]) => known(list).reduce((a, b) => a + b, 0) / known(list).length;
  const what = { losses: "loss", norms: "norm of gradients", states: "" }[selector.needs];
  const means = { mean: meanOf(rows.map((row) => scores[row]!)), mean_of_all: meanOf(scores) };
  const figures = what ? `; mean ${what} ${means.mean.toFixed(4)}, of all ${means.mean_of_all.toFixed(4)}` : "";
  const clusters = Array.isArray(notes?.clusters) ? `; ${notes.clusters.length} clusters` : "";
  context.info(`${selector.name}: kept ${share.join(", ")} rows${figures}${clusters}`);
  context.log.event("selected", { places: chosen.map((row) => sequences[row]!.place), ...notes });
  return result(chosen.map((row) => lines.get(sequences[row]!.place)!).join("\n"), {
    select_by: selector.name,
    rows: n,
    kept: chosen.length,
    groups: kept,
    ...(what ? { of: what, ...means } : {}),
  });
}
