/**
 * The capability of a loss that is given other answers beside the rows to forget, which the model as it was (theta0)
 * samples before the first step, several for every row.
 */
import { encodeRow, type Sequence } from "../data/sequences.ts";
import type { Tokenizer } from "../data/tokenizer.ts";
import { UserError } from "../errors.ts";
import type { Json } from "../json.ts";
import { has, methodsFor } from "../method/capability.ts";
import type { Options } from "../method/options.ts";
import type { Model } from "../model/model.ts";
import { answered, promptOf } from "../run/generating/answers.ts";
import { Generator } from "../run/generating/generate.ts";
import { GREEDY } from "../run/generating/sampling.ts";
import type { ForgetSet, UnlearnCapability } from "./capability.ts";
import { rowAnswers } from "./row-answers.ts";
import { completions, type Wanted, WantedAnswers } from "./wanted-answers.ts";

const OPTIONS = {
  samples: {
    type: "number.integer >= 1",
    default: 5,
    help: "other answers to a row; an epoch takes the row with each of them",
  },
  temperature: { type: "number > 0", default: 1, help: "of sampling them" },
  instruction: {
    type: "string",
    help: 'line before the prompt while sampling, such as "Answer with other facts"',
    value: "TEXT",
  },
  answer_tokens: {
    type: "number.integer >= 1",
    help: "most tokens of an answer; the longest answer to forget when left out",
    value: "N",
  },
} as const satisfies Options;

/** What is sampled for every row. */
export interface Alternatives {
  /** How many for a row. */
  readonly samples: number;
  readonly temperature: number;
  /** A line before the prompt while sampling, left out while training. */
  readonly instruction: string | undefined;
  /** Most tokens of an answer; those of the longest answer to forget when left out. */
  readonly maxTokens: number | undefined;
}

/** Rounds of draws for answers that come out as the one to forget. */
const ROUNDS = 8;

/**
 * Other answers to the rows to forget, which theta0 samples before the first step: a function of (seed, row, number of
 * the sample).
 */
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
  readonly #ends: readonly number[];

  private constructor(
    sequences: readonly Sequence[],
    prompts: ReadonlyMap<string, Int32Array>,
    { how, tokenizer, maxLength }: { how: Alternatives; tokenizer: Tokenizer | undefined; maxLength: number },
  ) {
    const longest = sequences.reduce((most, own) => Math.max(most, own.ids.length - promptOf(own, 1).length), 1);
    const room = maxLength - Math.max(...[...prompts.values()].map(({ length }) => length));
    this.#maxTokens = Math.min(how.maxTokens ?? longest, room);
    this.#how = how;
    this.#end = tokenizer?.eos;
    this.#ends = tokenizer?.ends ?? [];
    this.sequences = sequences.flatMap((sequence) => Array.from({ length: how.samples }, () => ({ ...sequence })));
    this.#prompts = this.sequences.map(({ place }) => prompts.get(place)!);
    const blank = new Int32Array(this.#maxTokens);
    this.wanted = this.#with(this.sequences.map(() => blank));
  }

  /**
   * Reads what is to be answered. Throws UserError for rows that are not prompt and completion, and for a prompt that
   * leaves no room for an answer.
   */
  static async of({ sequences, groups, tools, method }: ForgetSet, how: Alternatives): Promise<SampledAnswers> {
    const prompts = new Map<string, Int32Array>();
    const maxLength = tools.encode.maxLength!;
    for await (const { row, place } of completions(groups, method)) {
      const prompt = how.instruction === undefined ? row.prompt : `${how.instruction}\n${row.prompt}`;
      // Only the prompt is used, so a cut answer needs no warning.
      const [sequence] = encodeRow({ row: { ...row, prompt }, place }, { ...tools.encode, cut: () => {}, group: 0 });
      if (sequence!.labels.every((label) => label < 0))
        throw new UserError(
          `${place}: the prompt leaves no room for an answer in ${maxLength} tokens`,
          "shorten it, or raise --max-length",
        );
      prompts.set(place, promptOf(sequence!, 1));
    }
    return new SampledAnswers(sequences, prompts, { how, tokenizer: tools.tokenizer, maxLength });
  }

  #with(answers: readonly ArrayLike<number>[]): Sequence[] {
    return this.sequences.map((sequence, i) => answered(sequence, promptOf(sequence, 1), answers[i]!));
  }

  /**
   * Samples with `model`, `batch` rows at a time. An answer that is the one to forget is drawn again, several times;
   * gives how many are so even then.
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
          stop: this.#ends,
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

export const sampledAnswers: UnlearnCapability<Wanted, typeof OPTIONS> = {
  name: "sampled-answers",
  options: OPTIONS,
  readsAgain: true,
  async supply({ samples, temperature, instruction, answer_tokens: maxTokens }, set) {
    const sampled = await SampledAnswers.of(set, { samples, temperature, instruction, maxTokens });
    const answers = new WantedAnswers(sampled.wanted, set.pad);
    return {
      sequences: sampled.sequences,
      async ask(asking) {
        const { model, seed, rows, signal, warn } = asking;
        const same = await sampled.sample(model, { seed, batch: rows, signal });
        answers.sequences = sampled.wanted;
        const all = answers.sequences.length;
        if (same === all) {
          const others = await methodsFor(
            "unlearn",
            (method) => method.kind === "objective" && has(method, rowAnswers),
          );
          throw new UserError(
            "every sampled answer is the one to forget",
            `raise --temperature, give an --instruction, or write other answers into the rows for --method ${others}`,
          );
        }
        if (same > 0)
          warn(`${same} of ${all} sampled answers are the ones to forget; a higher --temperature gives others`);
        await answers.ask(asking);
      },
      record: (rec, recording) => answers.record(rec, recording),
      fill: (program, rows) => answers.fill(program, rows),
      beside: (rows) => answers.beside(rows),
      state: () => ({ answers: sampled.state(), reference: answers.state() }),
      load(state) {
        const saved = state as { answers: number[][]; reference: Json };
        sampled.load(saved.answers);
        answers.sequences = sampled.wanted;
        answers.load(saved.reference);
      },
    };
  },
};
