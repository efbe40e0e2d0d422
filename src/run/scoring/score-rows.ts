/** Runs a model over a data set's rows, in order, and gives one scored row each. */

import { deflateSync } from "node:zlib";
import { type Batch, collate, stackExamples } from "../../data/batch.ts";
import { type Example, inBatches } from "../../data/dataset.ts";
import type { Sequence } from "../../data/sequences.ts";
import type { Tokenizer } from "../../data/tokenizer.ts";
import { bodyTokens, type Need, type ScoredRow } from "../../evaluate/contract.ts";
import type { ChoiceQuestion, Question, TextData } from "../../evaluate/read-data.ts";
import type { Model } from "../../model/model.ts";
import { Generator } from "../generating/generate.ts";
import { GREEDY } from "../generating/sampling.ts";
import type { TextTools } from "../training/data-source.ts";
import { withAlternatives } from "./alternatives.ts";
import { gradientNorms } from "./gradient-norms.ts";
import { Scorer, type Scores } from "./scorer.ts";

export interface ScoreOptions {
  readonly rows: number;
  readonly signal: AbortSignal;
  /** Runs the model, and outlives the call; one of its own when left out. */
  readonly scorer?: Scorer;
  /** Called after every batch with its number of rows. */
  readonly done?: (rows: number) => void;
  /** Called with every batch, for dumps. */
  readonly visit?: (batch: Batch) => Promise<void>;
}

const AHEAD = 4;

/** Entries of a batch's scores from `from` to `to`, those that count. */
function cut(scores: Scores, group: number, from: number, to: number): ScoredRow {
  const { targets, nll, argmax, confidence, moments } = scores;
  const places: number[] = [];
  for (let i = from; i < to; i++) if (targets[i]! >= 0) places.push(i);
  const pick = <T extends Float32Array | Int32Array | Uint32Array>(values: T, made: T): T => {
    for (const [i, place] of places.entries()) made[i] = values[place]!;
    return made;
  };
  const n = places.length;
  return {
    group,
    targets: pick(targets, new Int32Array(n)),
    nll: pick(nll, new Float32Array(n)),
    argmax: pick(argmax, new Uint32Array(n)),
    confidence: pick(confidence, new Float32Array(n)),
    ...(moments
      ? { moments: Float32Array.from({ length: 2 * n }, (_, i) => moments[2 * places[i >> 1]! + (i & 1)]!) }
      : {}),
  };
}

/** Scores token sequences, one a row. */
export async function scoreSequences(
  model: Model,
  sequences: readonly Sequence[],
  pad: number,
  options: ScoreOptions & { readonly moments?: boolean },
): Promise<ScoredRow[]> {
  const scorer = options.scorer ?? new Scorer(model, undefined, { moments: options.moments ?? false });
  const rows: ScoredRow[] = [];
  const pending: (() => Promise<void>)[] = [];
  for await (const part of inBatches(sequences, options.rows)) {
    options.signal.throwIfAborted();
    const batch = collate(
      part.map((sequence) => [sequence]),
      { pad },
    );
    const scores = scorer.score(batch);
    scores.catch(() => {});
    pending.push(async () => {
      const found = await scores;
      for (const [row, { group }] of part.entries())
        rows.push(cut(found, group, row * batch.length, (row + 1) * batch.length));
      options.done?.(part.length);
    });
    await options.visit?.(batch);
    if (pending.length >= AHEAD) await pending.shift()!();
  }
  for (const rest of pending) await rest();
  if (!options.scorer) await scorer.free();
  return rows;
}

export interface TextScoreOptions extends ScoreOptions {
  readonly needs: ReadonlySet<Need>;
  /** Most tokens that are generated. */
  readonly maxTokens: number;
  /** Texts before which a generated answer ends. */
  readonly stop?: readonly string[];
}

/** Scores a language model on what was read for it. */
export async function scoreText(
  model: Model,
  data: TextData,
  tools: TextTools,
  options: TextScoreOptions,
): Promise<ScoredRow[]> {
  const { needs } = options;
  const { sequences } = data;
  const pad = tools.tokenizer?.pad ?? 0;
  const scored = await scoreSequences(model, sequences, pad, { ...options, moments: needs.has("moments") });
  if (data.choices) return choicesOf(data.choices, scored, tools);
  let rows: ScoredRow[] = scored.map((row) => ({ ...row, ended: isEnded(row, tools) }));
  if (needs.has("packed-bytes")) rows = withBytes(tools.tokenizer!, rows);
  if (needs.has("gradient")) rows = await withGradients(model, rows, sequences, pad, options.signal);
  if (data.questions) rows = await withAnswers(model, data.questions, tools.tokenizer!, rows, options);
  if (!data.alternatives) return rows;
  const { visit: _, ...rest } = options;
  const others = await scoreSequences(model, data.alternatives.sequences, pad, rest);
  return withAlternatives(rows, data.alternatives, others);
}

/** Whether a row ends in the token that ends texts. */
const isEnded = ({ targets }: ScoredRow, { tokenizer }: TextTools): boolean =>
  tokenizer?.eos !== undefined && targets.at(-1) === tokenizer.eos;

/** Adds the norms of the gradients of every row by itself. */
async function withGradients(
  model: Model,
  rows: readonly ScoredRow[],
  sequences: readonly Sequence[],
  pad: number,
  signal: AbortSignal,
): Promise<ScoredRow[]> {
  const norms = await gradientNorms(model, sequences, pad, signal);
  return rows.map((row, i) => ({ ...row, gradientNorm: norms[i]! }));
}

/** Adds how many bytes deflate makes of the text that counts. */
function withBytes(tokenizer: Tokenizer, rows: readonly ScoredRow[]): ScoredRow[] {
  return rows.map((row) => {
    const text = tokenizer.decode(row.targets.subarray(0, bodyTokens(row)), { skipSpecial: true });
    return { ...row, packedBytes: deflateSync(text).length };
  });
}

/** Adds what greedy decoding makes of the prompts. */
async function withAnswers(
  model: Model,
  questions: readonly Question[],
  tokenizer: Tokenizer,
  rows: readonly ScoredRow[],
  { rows: batch, maxTokens, signal, needs, stop: texts = [] }: TextScoreOptions,
): Promise<ScoredRow[]> {
  const generator = new Generator(model);
  const stop = tokenizer.eos === undefined ? [] : [tokenizer.eos];
  const longest = questions.reduce((most, { expected }) => Math.max(most, tokenizer.encode(expected).length), 1);
  const answers = await generator.complete(
    questions.map(({ ids }) => ids),
    {
      ...GREEDY,
      maxTokens: needs.has("continued") ? maxTokens : Math.min(maxTokens, longest + 1),
      stop,
      batch,
      signal,
    },
  );
  generator.free();
  return rows.map((row, i) => {
    const text = tokenizer.decode(answers[i]!, { skipSpecial: true });
    const ends = texts.map((end) => text.indexOf(end)).filter((at) => at >= 0);
    const end = Math.min(text.length, ...ends);
    return { ...row, generated: { found: text.slice(0, end), expected: questions[i]!.expected } };
  });
}

/** Each choice was scored as a completion of the prompt. */
function choicesOf(choices: readonly ChoiceQuestion[], scored: readonly ScoredRow[], tools: TextTools): ScoredRow[] {
  return choices.map(({ group, first, count, answer }) => {
    const list = scored.slice(first, first + count);
    const likeliest = (f: (row: ScoredRow) => number) =>
      list.reduce((best, row, i) => (f(row) < f(list[best]!) ? i : best), 0);
    const sum = (row: ScoredRow) => row.nll.reduce((a, b) => a + b, 0);
    const choice = {
      found: likeliest(sum),
      foundPerToken: likeliest((row) => sum(row) / row.nll.length),
      expected: answer,
    };
    return { ...list[answer]!, group, choice, ended: isEnded(list[answer]!, tools) };
  });
}

/** Scores a classifier on examples. */
export async function scoreExamples(
  model: Model,
  examples: readonly Example[],
  options: ScoreOptions,
): Promise<ScoredRow[]> {
  const scorer = options.scorer ?? new Scorer(model);
  const rows: ScoredRow[] = [];
  for await (const part of inBatches(examples, options.rows)) {
    options.signal.throwIfAborted();
    const batch = stackExamples(part);
    const scores = await scorer.score(batch);
    await options.visit?.(batch);
    for (const [i, { group }] of part.entries()) rows.push(cut(scores, group, i, i + 1));
    options.done?.(part.length);
  }
  if (!options.scorer) await scorer.free();
  return rows;
}
