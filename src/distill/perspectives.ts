/**
 * The capability of a method that learns several answers to each question, which a small network weighs by what the
 * student can take in. Groups of --data are perspectives: rows of one prompt are a question.
 *
 * A batch is that of the data. Of each of its questions all answers are scored; a row weighs its answer's share times
 * the number of answers, so with equal shares rows weigh 1. What the network knows is saved with the run.
 */
import { type Batch, collate, isTokens, type TokenBatch } from "../data/batch.ts";
import type { Sequence } from "../data/sequences.ts";
import { UserError } from "../errors.ts";
import { isObject, type Json } from "../json.ts";
import type { Options } from "../method/options.ts";
import { scoreSequences } from "../run/scoring/score-rows.ts";
import { Scorer } from "../run/scoring/scorer.ts";
import type { BatchSource, DrawnBatch } from "../run/training/batch-source.ts";
import type { BatchesGiven, DistillCapability } from "./capability.ts";
import { PromptStates } from "./prompt-states.ts";
import { type Question, questionsOf } from "./questions.ts";

/** What weighs answers: hears of questions and their losses, and is saved with the run. */
export interface Assistant {
  /** Shares of the answers of each question; those that are missing have 0. Then it learns from the losses. */
  weigh(asked: readonly Asked[]): readonly (readonly number[])[];
  state(): Json;
  /** Throws UserError. */
  load(state: Json): void;
}

export interface Asked {
  /** (C): the mean of what the student's head would read of the prompt. */
  readonly state: Float32Array;
  readonly bucket: number;
  /** Loss per token of each answer; undefined where there is none. */
  readonly losses: readonly (number | undefined)[];
}

/** Makes the assistant of a run. */
export type MakeAssistant<V> = (given: {
  readonly values: V;
  readonly width: number;
  readonly answers: number;
  readonly seed: number;
}) => Assistant;

/** Answers that are scored at once. */
const AT_ONCE = 64;

class Perspectives {
  readonly #source: BatchSource<Batch>;
  readonly #given: BatchesGiven;
  readonly #questions: ReadonlyMap<Sequence, Question>;
  readonly #states: PromptStates;
  readonly #scorer: Scorer;
  readonly #pad: number;
  readonly assistant: Assistant;
  shares: Readonly<Record<string, number>> = {};

  constructor(source: BatchSource<Batch>, given: BatchesGiven, buckets: number, assistant: Assistant) {
    this.#source = source;
    this.#given = given;
    const promptTokens = given.options.prompt_tokens;
    this.#questions = questionsOf(given.sequences, { groups: source.groups.length, buckets, promptTokens });
    this.#pad = given.tools.tokenizer?.pad ?? 0;
    this.#states = new PromptStates(given.student, this.#pad);
    this.#scorer = new Scorer(given.student);
    this.assistant = assistant;
  }

  async next(): Promise<DrawnBatch<Batch>> {
    const drawn = await this.#source.next();
    return isTokens(drawn.batch) ? { ...drawn, batch: await this.#weighed(drawn.batch) } : drawn;
  }

  async #weighed(batch: TokenBatch): Promise<TokenBatch> {
    const rows = batch.documents.map(({ sequence }) => sequence);
    const questions = [...new Set(rows.map((row) => this.#questions.get(row)!))];
    const asked = await this.#asked(questions);
    const shares = this.assistant.weigh(asked);
    this.#tell(asked, shares);
    const weighed = rows.map((row): Sequence[] => {
      const question = this.#questions.get(row)!;
      const own = shares[questions.indexOf(question)]!;
      const count = question.answers.filter((answer) => answer !== undefined).length;
      const weight = Math.fround((row.weight ?? 1) * own[row.group]! * count);
      return [weight === 1 ? row : { ...row, weight }];
    });
    return collate(weighed, { pad: this.#pad });
  }

  async #asked(questions: readonly Question[]): Promise<Asked[]> {
    const states = await this.#states.read(questions.map(({ prompt }) => prompt));
    const all = questions.flatMap(({ answers }) => answers.flatMap((answer) => answer ?? []));
    const scored = await scoreSequences(this.#given.student, all, this.#pad, {
      ...{ ref: "the student", rows: AT_ONCE, scorer: this.#scorer },
      signal: this.#given.signal ?? new AbortController().signal,
    });
    let at = 0;
    return questions.map(({ answers, bucket }, i) => ({
      ...{ state: states[i]!, bucket },
      losses: answers.map((answer) => {
        if (!answer) return undefined;
        const { nll } = scored[at++]!;
        return nll.reduce((sum, x) => sum + x, 0) / Math.max(1, nll.length);
      }),
    }));
  }

  /** Means of the shares, and of the losses, by group. */
  #tell(asked: readonly Asked[], shares: readonly (readonly number[])[]): void {
    const mean = (of: (question: Asked, i: number) => number | undefined) => {
      const found = asked.flatMap((question, i) => of(question, i) ?? []);
      return found.reduce((sum, x) => sum + x, 0) / Math.max(1, found.length);
    };
    this.shares = Object.fromEntries(
      this.#source.groups.flatMap(({ name }, k) => [
        [`share.${name}`, mean(({ losses }, i) => (losses[k] === undefined ? undefined : shares[i]![k]))],
        [`answer_loss.${name}`, mean(({ losses }) => losses[k])],
      ]),
    );
  }

  async free(): Promise<void> {
    this.#states.free();
    await this.#scorer.free();
  }
}

/** Answers whose shares an assistant gives; `options` are those of the method that `make` reads. */
export const perspectives = <V>(
  make: MakeAssistant<V>,
  buckets: (values: V) => number,
): DistillCapability<Options, V> => ({
  name: "perspectives",
  options: {},
  begin: (values) => ({
    batches(source, given) {
      const { student, seed } = given;
      const made = make({ values, width: student.sizes.width, answers: source.groups.length, seed });
      const all = new Perspectives(source, given, buckets(values), made);
      return {
        source: {
          groups: source.groups,
          batchesPerEpoch: source.batchesPerEpoch,
          largest: () => source.largest(),
          next: () => all.next(),
          state: () => source.state(),
          load: (state, what) => source.load(state, what),
        },
        controllers: [
          {
            name: "perspectives",
            logged: true,
            values: () => all.shares,
            state: () => ({ assistant: made.state(), shares: { ...all.shares } }),
            load(state) {
              if (!isObject(state) || !isObject(state.shares) || state.assistant === undefined)
                throw new UserError("the saved state has no perspectives");
              made.load(state.assistant);
              all.shares = Object.fromEntries(Object.entries(state.shares).map(([name, x]) => [name, Number(x)]));
            },
          },
        ],
        free: () => all.free(),
      };
    },
  }),
});
