/**
 * The answers that are wanted instead of those to forget, one for every sequence of the forget set: a field of the row, or other answers
 * that the model as it was (theta0) samples.
 */

import { REFUSALS } from "../data/facts/words.ts";
import type { GroupReference } from "../data/groups.ts";
import { readRows } from "../data/jsonl.ts";
import { Random } from "../data/random.ts";
import type { LocatedRow, Row } from "../data/rows.ts";
import { encodeRow, type Sequence } from "../data/sequences.ts";
import { UserError } from "../errors.ts";
import type { Model } from "../model/model.ts";
import { answered, promptOf } from "../run/generating/answers.ts";
import { Generator } from "../run/generating/generate.ts";
import { GREEDY } from "../run/generating/sampling.ts";
import type { TextTools } from "../run/text-tools.ts";

/** What is sampled for every row. */
export interface Alternatives {
  /** How many for a row. */
  readonly samples: number;
  readonly temperature: number;
  /** Stands on a line of its own before the prompt while sampling, and not while training. */
  readonly instruction: string | undefined;
  /** Most tokens of an answer; those of the longest answer to forget when left out. */
  readonly maxTokens: number | undefined;
}

type Completion = Extract<Row, { form: "completion" }>;

async function* completions(
  groups: readonly GroupReference[],
  method: string,
): AsyncGenerator<LocatedRow & { readonly row: Completion }> {
  for (const { path } of groups)
    for await (const { row, place } of readRows(path)) {
      if (row.form !== "completion")
        throw new UserError(`${place}: ${method} needs rows of prompt and completion, found a row of ${row.form}`);
      yield { row, place };
    }
}

/**
 * A row's `refusal`, or one drawn from a list where it has none; or its `alternative`. One sequence for each of `sequences`, found by the
 * place of the row. Throws UserError for rows that are no prompt and completion.
 */
export async function givenAnswers(
  sequences: readonly Sequence[],
  groups: readonly GroupReference[],
  tools: TextTools,
  field: "refusal" | "alternative",
  seed: number,
): Promise<Sequence[]> {
  const found = new Map<string, Sequence>();
  for await (const { row, place } of completions(groups, "dpo")) {
    const given = row.extra[field];
    if (field === "alternative" && typeof given !== "string")
      throw new UserError(`${place}: the row has no alternative`, "add a field alternative, or leave out --answers");
    const text = typeof given === "string" ? given : new Random(seed, "refusal", place).pick(REFUSALS);
    const completion = /^\s/.test(row.completion) && !/^\s/.test(text) ? ` ${text}` : text;
    const [sequence] = encodeRow({ row: { ...row, completion }, place }, { ...tools.encode, group: 0 });
    found.set(place, sequence!);
  }
  return sequences.map(({ place }) => found.get(place)!);
}

/** Rounds of draws for answers that come out as the one to forget. */
const ROUNDS = 8;

/** Other answers to the rows to forget, which theta0 samples before the first step: a function of (seed, row, number of the sample). */
export class SampledAnswers {
  /** Each sequence to forget, once for each of its samples. */
  readonly sequences: readonly Sequence[];
  /** Before sampling, of the largest lengths there may be. */
  wanted: readonly Sequence[];
  /** What is read to sample an answer to each of `sequences`. */
  readonly #prompts: readonly Int32Array[];
  readonly #maxTokens: number;
  readonly #how: Alternatives;
  readonly #end: number | undefined;

  private constructor(
    sequences: readonly Sequence[],
    prompts: ReadonlyMap<string, Int32Array>,
    { how, end, maxLength }: { how: Alternatives; end: number | undefined; maxLength: number },
  ) {
    const longest = sequences.reduce((most, own) => Math.max(most, own.ids.length - promptOf(own, 1).length), 1);
    const room = maxLength - Math.max(...[...prompts.values()].map(({ length }) => length));
    this.#maxTokens = Math.min(how.maxTokens ?? longest, room);
    this.#how = how;
    this.#end = end;
    this.sequences = sequences.flatMap((sequence) => Array.from({ length: how.samples }, () => ({ ...sequence })));
    this.#prompts = this.sequences.map(({ place }) => prompts.get(place)!);
    const blank = new Int32Array(this.#maxTokens);
    this.wanted = this.#with(this.sequences.map(() => blank));
  }

  /** Reads what is to be answered. Throws UserError for rows that are no prompt and completion, or leave no room for an answer. */
  static async of(
    sequences: readonly Sequence[],
    groups: readonly GroupReference[],
    tools: TextTools,
    how: Alternatives,
  ): Promise<SampledAnswers> {
    const prompts = new Map<string, Int32Array>();
    const maxLength = tools.encode.maxLength!;
    for await (const { row, place } of completions(groups, "altpo")) {
      const prompt = how.instruction === undefined ? row.prompt : `${how.instruction}\n${row.prompt}`;
      // Only the prompt is of use here, so that a cut answer is nothing to tell of.
      const [sequence] = encodeRow({ row: { ...row, prompt }, place }, { ...tools.encode, cut: () => {}, group: 0 });
      if (sequence!.labels.every((label) => label < 0))
        throw new UserError(
          `${place}: the prompt leaves no room for an answer in ${maxLength} tokens`,
          "shorten it, or raise --max-length",
        );
      prompts.set(place, promptOf(sequence!, 1));
    }
    return new SampledAnswers(sequences, prompts, { how, end: tools.tokenizer?.eos, maxLength });
  }

  #with(answers: readonly ArrayLike<number>[]): Sequence[] {
    return this.sequences.map((sequence, i) => answered(sequence, promptOf(sequence, 1), answers[i]!));
  }

  /**
   * Samples with `model`, `batch` rows at a time; an answer that is the one to forget is drawn again, several times. Gives how many
   * came out so every time.
   */
  async sample(
    model: Model,
    { seed, batch, signal }: { readonly seed: number; readonly batch: number; readonly signal: AbortSignal },
  ): Promise<number> {
    const { samples, temperature } = this.#how;
    const answers: number[][] = this.sequences.map(() => []);
    const own = this.sequences.map((sequence) => [...sequence.ids.slice(promptOf(sequence, 1).length)].join());
    let left = answers.map((_, i) => i);
    const generator = new Generator(model);
    for (let round = 0; round < ROUNDS && left.length > 0; round++) {
      const drawn = await generator.complete(
        left.map((i) => [...this.#prompts[i]!]),
        {
          ...GREEDY,
          temperature,
          seed,
          keys: left.map((i) => `alternative ${this.sequences[i]!.place} ${i % samples} ${round}`),
          maxTokens: this.#maxTokens,
          stop: this.#end === undefined ? [] : [this.#end],
          batch,
          signal,
        },
      );
      signal.throwIfAborted();
      for (const [at, i] of left.entries()) {
        const ended = this.#end !== undefined && drawn[at]!.length < this.#maxTokens;
        answers[i] = ended ? [...drawn[at]!, this.#end!] : drawn[at]!;
      }
      left = left.filter((i) => answers[i]!.join() === own[i]);
    }
    generator.free();
    this.wanted = this.#with(answers);
    return left.length;
  }

  /** The answers, to be saved with a run. */
  state(): number[][] {
    return this.wanted.map((sequence) => [...sequence.ids.slice(promptOf(sequence, 1).length)]);
  }
  load(answers: readonly (readonly number[])[]): void {
    this.wanted = this.#with(answers);
  }
}
