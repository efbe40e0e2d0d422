/**
 * Batches whose completions a model samples: the student's own for on-policy distillation (GKD, arXiv:2306.13649), the
 * teacher's for sequence-level distillation (arXiv:1606.07947).
 *
 * A row's prompt is what comes before its first label; of a plain text its first tokens. Which batches are sampled, and
 * the samples, are functions of (seed, place of the batch), so a resumed run draws the same.
 */

import { type Batch, collate, isTokens, type TokenBatch } from "../data/batch.ts";
import { Random } from "../data/random.ts";
import type { Sequence } from "../data/sequences.ts";
import type { Options, Values } from "../method/options.ts";
import type { Model } from "../model/model.ts";
import { answered, promptOf } from "../run/generating/answers.ts";
import { Generator } from "../run/generating/generate.ts";
import { GREEDY } from "../run/generating/sampling.ts";
import type { TextTools } from "../run/text-tools.ts";
import type { BatchSource } from "../run/training/batch-source.ts";

export const SAMPLES = {
  on_policy: {
    type: "0 <= number <= 1",
    default: 0,
    help: "share of batches whose completions the student samples (GKD's lambda)",
    value: "P",
  },
  teacher_samples: {
    type: "0 <= number <= 1",
    help: "of the others, share whose completions the teacher samples; each method's own when left out, mostly 0",
    value: "P",
  },
  sample_temperature: {
    type: "number >= 0",
    help: "of samples; 0: greedy; each method's own when left out, mostly 0.9",
    value: "T",
  },
  sample_tokens: { type: "number.integer >= 1", default: 128, help: "most tokens of a sample", value: "N" },
  prompt_tokens: {
    type: "number.integer >= 1",
    default: 8,
    help: "of a plain text, what samples continue",
    value: "N",
  },
} as const satisfies Options;

/** How completions are sampled. */
export type HowSampled = Pick<Values<typeof SAMPLES>, "sample_tokens" | "prompt_tokens"> & {
  readonly sample_temperature: number;
};

/** Shares of batches that are sampled, by who samples them. */
export interface SampleShares {
  readonly teacher: number;
  readonly student: number;
}

export interface SampledOptions {
  readonly seed: number;
  /** Tells draws of one model from those of another. */
  readonly whose: keyof SampleShares;
  /** Share of batches whose completions are sampled. */
  readonly share: number;
  readonly options: HowSampled;
  readonly tools: TextTools;
}

/** Answers in the place of those of a batch's rows. */
export interface Writing {
  /** Seed and key of a row decide its draws. */
  readonly seed: number;
  readonly key: (row: number) => string;
  readonly options: SampledOptions["options"];
  readonly tools: TextTools;
}

/** Most tokens of completions of prompts that are sampled together; at least 1. */
export function roomFor(
  prompts: readonly ArrayLike<number>[],
  { options, tools }: Pick<Writing, "options" | "tools">,
): number {
  const longest = prompts.reduce((most, { length }) => Math.max(most, length), 0);
  return Math.max(1, Math.min(options.sample_tokens, tools.encode.maxLength! - longest - 1));
}

/** The rows of a batch, each with an answer to its prompt that is sampled. */
export async function writtenRows(
  generator: Generator,
  { documents }: TokenBatch,
  { seed, key, options, tools }: Writing,
): Promise<Sequence[]> {
  const { sample_temperature: temperature, prompt_tokens: promptTokens } = options;
  const { eos } = tools.tokenizer ?? {};
  const prompts = documents.map(({ sequence }) => promptOf(sequence, promptTokens));
  const room = roomFor(prompts, { options, tools });
  const completions = await generator.complete(
    prompts.map((prompt) => [...prompt]),
    {
      ...GREEDY,
      temperature,
      seed,
      keys: prompts.map((_, i) => key(i)),
      maxTokens: room,
      stop: eos === undefined ? [] : [eos],
      batch: prompts.length,
    },
  );
  return documents.map(({ sequence }, i) => {
    const ended = eos !== undefined && completions[i]!.length < room;
    return answered(sequence, prompts[i]!, ended ? [...completions[i]!, eos] : completions[i]!);
  });
}

/** Most tokens of a row whose answer is sampled, over all rows. */
export function longestSampled(
  sequences: readonly Sequence[],
  { options, tools }: Pick<Writing, "options" | "tools">,
): number {
  const longest = sequences.reduce((most, row) => Math.max(most, promptOf(row, options.prompt_tokens).length), 0);
  return Math.min(tools.encode.maxLength!, longest + options.sample_tokens);
}

/** The largest batch of a source whose answers may be sampled. */
export function largestSampled(given: Batch, { options, tools }: Pick<Writing, "options" | "tools">): Batch {
  const [longest] = isTokens(given) ? given.documents : [];
  if (!longest) return given;
  const length = Math.min(tools.encode.maxLength!, longest.sequence.ids.length + options.sample_tokens);
  const row = { ...longest.sequence, ids: new Int32Array(length), labels: new Int32Array(length) };
  return rowsOf(
    Array.from({ length: given.rows }, () => row),
    tools,
  );
}

/** Sequences as a batch, a row each. */
export const rowsOf = (sequences: readonly Sequence[], { tokenizer }: Pick<TextTools, "tokenizer">): TokenBatch =>
  collate(
    sequences.map((sequence) => [sequence]),
    { pad: tokenizer?.pad ?? 0 },
  );

/** Lets `model` write the completions of some batches of tokens. */
export function sampledBatches(
  source: BatchSource<Batch>,
  model: Model,
  { seed, whose, share, options, tools }: SampledOptions,
): BatchSource<Batch> {
  let generator: Generator | undefined;
  return {
    groups: source.groups,
    batchesPerEpoch: source.batchesPerEpoch,
    largest: () => largestSampled(source.largest(), { options, tools }),
    async next() {
      const { epoch: e, batch: b } = source.state();
      const place = `${e}.${b}`;
      const drawn = await source.next();
      if (!isTokens(drawn.batch) || new Random(seed, `${whose} samples`, place).uniform() >= share) return drawn;
      generator ??= new Generator(model);
      const key = (row: number) => `${whose}.${place}.${row}`;
      const rows = await writtenRows(generator, drawn.batch, { seed, key, options, tools });
      return { ...drawn, batch: rowsOf(rows, tools) };
    },
    state: () => source.state(),
    load: (state, what) => source.load(state, what),
  };
}
