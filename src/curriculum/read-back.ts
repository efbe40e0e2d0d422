/**
 * Batches with rows that a model made itself: of some rows that ask for a text of a number it writes the text,
 * greedily, and a row is added that asks for the number of that text. What is written is a function of the weights, so
 * a resumed run writes the same.
 */
import { isTokens } from "../data/batch.ts";
import { readBackRow } from "../data/numeric/numerals.ts";
import { Random } from "../data/random.ts";
import { encodeRow, type Sequence } from "../data/sequences.ts";
import { UserError } from "../errors.ts";
import type { Model } from "../model/model.ts";
import { promptOf } from "../run/generating/answers.ts";
import { Generator } from "../run/generating/generate.ts";
import { GREEDY } from "../run/generating/sampling.ts";
import type { TextTools } from "../run/text-tools.ts";
import type { BatchSource } from "../run/training/batch-source.ts";
import type { CurriculumBatch, Rows } from "./source.ts";

export interface ReadBackOptions {
  /** Probability that a row is read back. */
  readonly share: number;
  readonly seed: number;
  readonly tools: TextTools;
  readonly rows: Rows;
}

/** Tokens of a prompt, before what counts; none of a row that counts from its start. */
const PLAIN = 1;

/** Throws UserError where no row asks for a text of a number, or nothing reads its tokens. */
export function readBackBatches(
  source: BatchSource<CurriculumBatch>,
  model: Model,
  { share, seed, tools, rows }: ReadBackOptions,
): BatchSource<CurriculumBatch> {
  const { tokenizer } = tools;
  if (!tokenizer)
    throw new UserError("--read-back reads texts, and the model has no tokenizer", "name one with --tokenizer");
  const asked = (sequence: Sequence, written: string) =>
    readBackRow(tokenizer.decode(promptOf(sequence, PLAIN), { skipSpecial: true }), written);
  const texts = rows.items.flatMap((item) => ("ids" in item ? [item] : []));
  if (!texts.some((sequence) => asked(sequence, "")))
    throw new UserError(
      "--read-back: no row of --data asks for a text of a number",
      "ingot data numeric --ask text makes such rows",
    );
  const longest = texts.reduce((most, text) => (text.ids.length > most.ids.length ? text : most), texts[0]!);
  const generator = new Generator(model);

  /** Rows that ask for the numbers of what the model writes. */
  async function readBack(sequences: readonly Sequence[]): Promise<Sequence[]> {
    const chosen = sequences.filter((sequence) => asked(sequence, ""));
    if (chosen.length === 0) return [];
    const prompts = chosen.map((sequence) => promptOf(sequence, PLAIN));
    const room = Math.max(...chosen.map(({ ids }, i) => ids.length - prompts[i]!.length));
    const completions = await generator.complete(
      prompts.map((prompt) => [...prompt]),
      {
        ...GREEDY,
        seed,
        keys: prompts.map((_, i) => `read back ${i}`),
        maxTokens: room,
        stop: tokenizer!.eos === undefined ? [] : [tokenizer!.eos],
        batch: prompts.length,
      },
    );
    return chosen.flatMap((sequence, i) => {
      const row = asked(sequence, tokenizer!.decode(completions[i]!, { skipSpecial: true }))!;
      const made = { row: { form: "completion", ...row, extra: {} }, place: "a row that is read back" } as const;
      return encodeRow(made, { ...tools.encode, group: sequence.group });
    });
  }

  return {
    groups: source.groups,
    batchesPerEpoch: source.batchesPerEpoch,
    largest: () => rows.made(Array.from({ length: 2 * source.largest().batch.rows }, () => longest)),
    async next() {
      const { batch: place } = source.state();
      const drawn = await source.next();
      const { batch } = drawn.batch;
      if (!isTokens(batch)) return drawn;
      const began = performance.now();
      const sequences = batch.documents.map(({ sequence }) => sequence);
      const random = new Random(seed, "read back", place);
      const added = await readBack(sequences.filter(() => random.uniform() < share));
      if (added.length === 0) return drawn;
      return { ...drawn, batch: rows.made([...sequences, ...added]), away: performance.now() - began };
    },
    state: () => source.state(),
    load: (state, what) => source.load(state, what),
  };
}
