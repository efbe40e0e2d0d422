/**
 * Batches with rows that a model made itself: it answers some of their prompts, greedily, and rows that a sampler makes
 * of the answers are added. What is written is a function of the weights, so a resumed run writes the same.
 */
import { isTokens } from "../data/batch.ts";
import { Random } from "../data/random.ts";
import { encodeRow, type Sequence } from "../data/sequences.ts";
import { UserError } from "../errors.ts";
import type { Model } from "../model/model.ts";
import { promptOf } from "../run/generating/answers.ts";
import { Generator } from "../run/generating/generate.ts";
import { GREEDY } from "../run/generating/sampling.ts";
import type { TextTools } from "../run/text-tools.ts";
import type { BatchSource } from "../run/training/batch-source.ts";
import type { AskBack } from "./contract.ts";
import type { CurriculumBatch, Rows } from "./source.ts";

export interface AskBackOptions {
  readonly ask: AskBack;
  readonly seed: number;
  readonly tools: TextTools;
  readonly rows: Rows;
}

/** Tokens of a prompt, before what counts; none of a row that counts from its start. */
const PLAIN = 1;

/** Throws UserError where no row is one that is asked back, or nothing reads its tokens. */
export function askBackBatches(
  source: BatchSource<CurriculumBatch>,
  model: Model,
  { ask, seed, tools, rows }: AskBackOptions,
): BatchSource<CurriculumBatch> {
  const { tokenizer } = tools;
  if (!tokenizer)
    throw new UserError("what the model writes is read, and it has no tokenizer", "name one with --tokenizer");
  const asked = (sequence: Sequence, written: string) =>
    ask.row(tokenizer.decode(promptOf(sequence, PLAIN), { skipSpecial: true }), written);
  const texts = rows.items.flatMap((item) => ("ids" in item ? [item] : []));
  if (!texts.some((sequence) => asked(sequence, ""))) throw new UserError(ask.wants, ask.hint);
  const longest = texts.reduce((most, text) => (text.ids.length > most.ids.length ? text : most), texts[0]!);
  const generator = new Generator(model);

  /** Rows made of what the model writes. An answer has no more tokens than the longest of the batch's own. */
  async function askedBack(sequences: readonly Sequence[]): Promise<Sequence[]> {
    const chosen = sequences.filter((sequence) => asked(sequence, ""));
    if (chosen.length === 0) return [];
    const prompts = chosen.map((sequence) => promptOf(sequence, PLAIN));
    const answers = chosen.map(({ ids }, i) => ids.length - prompts[i]!.length);
    const room = Math.max(1, ...answers.map((length) => (tokenizer!.eos === undefined ? length : length - 1)));
    const completions = await generator.complete(
      prompts.map((prompt) => [...prompt]),
      {
        ...GREEDY,
        seed,
        keys: prompts.map((_, i) => `ask back ${i}`),
        maxTokens: room,
        stop: tokenizer!.eos === undefined ? [] : [tokenizer!.eos],
        batch: prompts.length,
      },
    );
    return chosen.flatMap((sequence, i) => {
      const row = asked(sequence, tokenizer!.decode(completions[i]!, { skipSpecial: true }))!;
      const made = { row: { form: "completion", ...row, extra: {} }, place: "a row that the model made" } as const;
      return encodeRow(made, { ...tools.encode, overflow: "truncate", group: sequence.group });
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
      const random = new Random(seed, "ask back", place);
      const added = await askedBack(sequences.filter(() => random.uniform() < ask.share));
      if (added.length === 0) return drawn;
      return { ...drawn, batch: rows.made([...sequences, ...added]), away: performance.now() - began };
    },
    state: () => source.state(),
    load: (state, what) => source.load(state, what),
  };
}
