/** Scores a language model on rows of text: losses, and what else metrics need of a row. */
import { deflateSync } from "node:zlib";
import type { Sequence } from "../../data/sequences.ts";
import type { Tokenizer } from "../../data/tokenizer.ts";
import type { Model } from "../../model/model.ts";
import { answerText } from "../generating/answer-text.ts";
import { Generator } from "../generating/generate.ts";
import type { LogitSource } from "../generating/logit-source.ts";
import { GREEDY } from "../generating/sampling.ts";
import { notFinite } from "../not-finite.ts";
import type { TextTools } from "../text-tools.ts";
import { withAlternatives } from "./alternatives.ts";
import type { ChoiceQuestion } from "./choice-question.ts";
import { gradientNorms } from "./gradient-norms.ts";
import type { Question, ScoringData, TextData } from "./read-rows.ts";
import { type ScoreOptions, scoreSequences } from "./score-rows.ts";
import { bodyTokens, type Need, rightTokens, type ScoredRow, summedLoss, tokens } from "./scored-row.ts";

export interface TextScoreOptions extends ScoreOptions {
  readonly needs: ReadonlySet<Need>;
  /** Most tokens that are generated. */
  readonly maxTokens: number;
  /** Texts before which a generated answer ends. */
  readonly stop?: readonly string[];
  /** Makes what answers are drawn from; the model itself when left out. */
  readonly source?: (() => LogitSource) | undefined;
}

/** How often a model is run on a row, over all rows: as often as `done` of `scoreText` or `scoreExamples` counts. */
export function readingsOf(data: ScoringData, needs: ReadonlySet<Need>): number {
  if (data.kind === "examples") return data.examples.length;
  const { sequences, choices, questions, alternatives } = data;
  if (choices) return sequences.length;
  const gradients = needs.has("gradient") ? sequences.length : 0;
  return sequences.length + gradients + (questions?.length ?? 0) + (alternatives?.sequences.length ?? 0);
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
  if (data.choices) return choicesOf(data.choices, scored);
  let rows: ScoredRow[] = scored.map((row) => ({ ...row, ended: isEnded(row, tools) }));
  if (needs.has("packed-bytes")) rows = withBytes(tools.tokenizer!, rows);
  if (needs.has("gradient")) rows = await withGradients(model, rows, sequences, pad, options);
  if (data.questions) {
    const asked = data.sequences.length > 0 ? rows : data.questions.map(({ group }) => unscored(group));
    rows = await withAnswers(model, data.questions, tools.tokenizer!, asked, { ...options, ...data.generation });
  }
  if (!data.alternatives) return rows;
  const { visit: _, ...rest } = options;
  const others = await scoreSequences(model, data.alternatives.sequences, pad, rest);
  return withAlternatives(rows, data.alternatives, others);
}

/** A row of which no token is scored. */
const unscored = (group: number): ScoredRow => ({
  group,
  targets: new Int32Array(),
  nll: new Float32Array(),
  argmax: new Uint32Array(),
  confidence: new Float32Array(),
});

/** Whether a row ends in a token that ends texts. */
const isEnded = ({ targets }: ScoredRow, { tokenizer }: TextTools): boolean =>
  targets.length > 0 && (tokenizer?.ends.includes(targets.at(-1)!) ?? false);

/** Adds the norms of the gradients of every row by itself. */
async function withGradients(
  model: Model,
  rows: readonly ScoredRow[],
  sequences: readonly Sequence[],
  pad: number,
  { signal, ref, done }: TextScoreOptions,
): Promise<ScoredRow[]> {
  const norms = await gradientNorms(model, sequences, pad, signal, done);
  const odd = rows.findIndex((row, i) => tokens(row) > 0 && !Number.isFinite(norms[i]));
  if (odd >= 0) throw notFinite(ref, `${sequences[odd]!.place} (their gradient)`);
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
  { rows: batch, maxTokens, signal, needs, ref, done, source, stop: texts = [] }: TextScoreOptions,
): Promise<ScoredRow[]> {
  const generator = new Generator(source?.() ?? model, ref);
  const longest = questions.reduce((most, { expected }) => Math.max(most, tokenizer.encode(expected).length), 1);
  const answers = await generator.complete(
    questions.map(({ ids }) => ids),
    {
      ...GREEDY,
      maxTokens: needs.has("continued") ? maxTokens : Math.min(maxTokens, longest + 1),
      stop: tokenizer.ends,
      batch,
      done,
      signal,
      names: questions.map(({ place }) => place),
    },
  );
  generator.free();
  return rows.map((row, i) => {
    const found = answerText(tokenizer, answers[i]!, texts);
    return { ...row, generated: { found, expected: questions[i]!.expected } };
  });
}

/**
 * One row a question; each of its choices was scored alone behind the prompt. Where one of them does not fit into what
 * the model reads, there is no telling which is likeliest: the row has no `choice`.
 */
function choicesOf(choices: readonly ChoiceQuestion[], scored: readonly ScoredRow[]): ScoredRow[] {
  return choices.map(({ group, first, count, answer, bytes, isWhole }) => {
    const list = scored.slice(first, first + count);
    const row = { ...list[answer]!, group };
    if (!isWhole) return row;
    const choice = {
      losses: list.map(summedLoss),
      tokens: list.map(tokens),
      bytes,
      isGreedy: list.map((each) => rightTokens(each) === tokens(each)),
      expected: answer,
    };
    return { ...row, choice };
  });
}
