/**
 * The capability of a method that learns in rounds: before each, teacher and student are compared on all rows, and what
 * the round learns is chosen by where the student is behind.
 *
 * A round's rows are prompts with the teacher's greedy answers, which a cache keeps; a row on which the student is
 * ahead has the student's own answer from then on. Where nothing is hard the batches are those of the data, with the
 * teacher's answers. What was answered and chosen is saved with the run, so a resumed run draws the same.
 */
import { type Batch, collate, isTokens, type TokenBatch } from "../data/batch.ts";
import type { Sequence } from "../data/sequences.ts";
import { permutation } from "../data/shuffle.ts";
import { UserError } from "../errors.ts";
import { isObject, type Json } from "../json.ts";
import type { Options, Values } from "../method/options.ts";
import type { Model } from "../model/model.ts";
import { answered, promptOf } from "../run/generating/answers.ts";
import type { BatchSource, DrawnBatch } from "../run/training/batch-source.ts";
import type { DistillCapability } from "./capability.ts";
import { AUGMENTS, augment } from "./new-prompts.ts";
import { type Answering, Spoken } from "./spoken.ts";

const OPTIONS = {
  rounds: { type: "number.integer >= 1", default: 4, help: "rounds of comparing, mining and learning", value: "R" },
  assessor: {
    type: "'nll' | 'exact'",
    default: "nll",
    help: "what compares the two: likelihood of a row's own answer, by token, or whether their answers are it",
  },
  augment: {
    type: AUGMENTS,
    default: "sample",
    help: "new prompts near hard ones: ends that the teacher samples, or other numbers",
  },
  feedback: {
    type: "boolean",
    default: true,
    help: "answers of the student take the place of the teacher's where it is ahead",
  },
} as const satisfies Options;

/** Rows of the data by how the student does on them. */
export interface Mined {
  /** What is learnt: the student is behind. */
  readonly hard: readonly number[];
  /** How many it is behind on, before the share of the hard ones is bounded. */
  readonly behind: number;
  readonly easy: readonly number[];
  /** Where the student is ahead. */
  readonly ahead: readonly number[];
}

/** Chooses from the gaps of rows: the teacher's score less the student's. */
export type Mine<V> = (gaps: readonly number[], values: V) => Mined;

type Tokens = readonly number[];

/** A prompt and what is learnt of it. */
interface Learnt {
  readonly prompt: Tokens;
  readonly answer: Tokens;
}

const isTokensJson = (value: unknown): value is number[] =>
  Array.isArray(value) && value.every((id) => Number.isInteger(id));

/** What a state has of rows: pairs of a place, or a prompt, and an answer. Throws UserError. */
function pairsOf<T>(value: unknown, first: (x: unknown) => x is T): [T, number[]][] {
  const pairs = Array.isArray(value) ? value : [];
  return pairs.map((pair: unknown) => {
    const [a, b]: unknown[] = Array.isArray(pair) ? pair : [];
    if (!first(a) || !isTokensJson(b)) throw new UserError("the saved state has no answers of rounds");
    return [a, b];
  });
}
const isPlace = (value: unknown): value is number => Number.isInteger(value);

/** Comparing, choosing and drawing of one run. */
class Rounds<V extends Values<typeof OPTIONS>> {
  readonly #source: BatchSource<Batch>;
  readonly #given: Answering;
  readonly #values: V;
  readonly #mine: Mine<V>;
  readonly #places: ReadonlyMap<Sequence, number>;
  readonly #prompts: readonly Tokens[];
  readonly #spoken: Spoken;
  #answers = new Map<number, Tokens>();
  #drawn = 0;
  #round = -1;
  counts: Readonly<Record<string, number>> = {};
  /** Rows of the round; undefined where it learns all. */
  #set: readonly Learnt[] | undefined;

  constructor(source: BatchSource<Batch>, given: Answering, values: V, mine: Mine<V>) {
    this.#source = source;
    this.#given = given;
    this.#values = values;
    this.#mine = mine;
    this.#places = new Map(given.sequences.map((sequence, i) => [sequence, i]));
    this.#prompts = given.sequences.map((sequence) => [...promptOf(sequence, given.options.prompt_tokens)]);
    this.#spoken = new Spoken(given);
  }

  largest(): Batch {
    const given = this.#source.largest();
    const [longest] = isTokens(given) ? given.documents : [];
    if (!longest) return given;
    const most = this.#prompts.reduce((a, { length }) => Math.max(a, length), 1);
    const length = this.#spoken.longest(most);
    const row = { ...longest.sequence, ids: new Int32Array(length), labels: new Int32Array(length) };
    return this.#collated(Array.from({ length: given.rows }, () => row));
  }

  async next(): Promise<DrawnBatch<Batch>> {
    const { batches, batchSize, seed } = this.#given;
    const { rounds } = this.#values;
    const round = Math.min(rounds - 1, Math.floor((this.#drawn * rounds) / batches));
    if (round !== this.#round) await this.#begin(round);
    const at = this.#drawn++ - Math.ceil((round * batches) / rounds);
    const set = this.#set;
    if (!set) {
      const drawn = await this.#source.next();
      return isTokens(drawn.batch) ? { ...drawn, batch: this.#taught(drawn.batch) } : drawn;
    }
    const size = Math.min(batchSize, set.length);
    let order: Uint32Array = new Uint32Array();
    let pass = -1;
    const rows = Array.from({ length: size }, (_, i) => {
      const place = at * size + i;
      const own = Math.floor(place / set.length);
      if (own !== pass) order = permutation(set.length, seed, own, `round ${round}`);
      pass = own;
      const { prompt, answer } = set[order[place % set.length]!]!;
      return answered(this.#given.sequences[0]!, prompt, answer);
    });
    return { batch: this.#collated(rows), epoch: Math.floor((this.#drawn - 1) / this.#source.batchesPerEpoch) };
  }

  #collated(rows: readonly Sequence[]): TokenBatch {
    return collate(
      rows.map((row) => [row]),
      { pad: this.#spoken.pad },
    );
  }

  /** A batch of the data with what is learnt of its rows. */
  #taught(batch: TokenBatch): TokenBatch {
    return this.#collated(
      batch.documents.map(({ sequence }) => {
        const place = this.#places.get(sequence)!;
        return answered(sequence, this.#prompts[place]!, this.#answers.get(place)!);
      }),
    );
  }

  /** Compares the two, and chooses what the round learns. */
  async #begin(round: number): Promise<void> {
    const { teacher, student, sequences } = this.#given;
    const { assessor, feedback } = this.#values;
    this.#round = round;
    const all = [...sequences.keys()];
    await this.#answer(
      teacher,
      all.filter((i) => !this.#answers.has(i)),
    );
    const scores = async (whose: "teacher" | "student") =>
      assessor === "nll"
        ? this.#spoken.likelihoods(whose, sequences)
        : this.#spoken.exact(await this.#spoken.answer(this.#given[whose], this.#prompts), sequences);
    const [theirs, own] = [await scores("teacher"), await scores("student")];
    const gaps = all.map((i) => theirs[i]! - own[i]!);
    const mined = this.#mine(gaps, this.#values);
    if (feedback) await this.#answer(student, mined.ahead);
    this.#set = mined.hard.length > 0 ? await this.#chosen(mined, round) : undefined;
    this.counts = {
      ...{ round: round + 1, behind: mined.behind, hard: mined.hard.length, ahead: mined.ahead.length },
      rows: this.#set?.length ?? sequences.length,
    };
  }

  async #answer(model: Model, rows: readonly number[]): Promise<void> {
    const found = await this.#spoken.answer(
      model,
      rows.map((i) => this.#prompts[i]!),
    );
    for (const [k, i] of rows.entries()) this.#answers.set(i, found[k]!);
  }

  /** Hard rows, new ones near them, and easy ones: as many as there are new ones, or hard ones where there are none. */
  async #chosen({ hard, easy }: Mined, round: number): Promise<Learnt[]> {
    const { teacher, seed, tools } = this.#given;
    const asked = { spoken: this.#spoken, teacher, tokenizer: tools.tokenizer, seed, key: `round ${round}` };
    const prompts = hard.map((i) => this.#prompts[i]!);
    const made = await augment(this.#values.augment, prompts, asked);
    const answers = await this.#spoken.answer(teacher, made);
    const order = permutation(easy.length, seed, round, "easy rows");
    const few = Array.from(order.subarray(0, made.length > 0 ? made.length : hard.length), (i) => easy[i]!);
    const learnt = (i: number) => ({ prompt: this.#prompts[i]!, answer: this.#answers.get(i)! });
    return [...hard.map(learnt), ...made.map((prompt, k) => ({ prompt, answer: answers[k]! })), ...few.map(learnt)];
  }

  state(): Json {
    return {
      ...{ drawn: this.#drawn, round: this.#round, counts: { ...this.counts } },
      answers: Array.from(this.#answers, ([i, answer]): Json => [i, [...answer]]),
      set: this.#set ? this.#set.map(({ prompt, answer }): Json => [[...prompt], [...answer]]) : null,
    };
  }

  load(state: Json): void {
    if (!isObject(state) || typeof state.drawn !== "number" || typeof state.round !== "number")
      throw new UserError("the saved state has no rounds");
    this.#drawn = state.drawn;
    this.#round = state.round;
    this.#answers = new Map(pairsOf(state.answers, isPlace));
    this.#set =
      state.set === null ? undefined : pairsOf(state.set, isTokensJson).map(([prompt, answer]) => ({ prompt, answer }));
    const counts = isObject(state.counts) ? Object.entries(state.counts) : [];
    this.counts = Object.fromEntries(counts.map(([name, value]) => [name, Number(value)]));
  }
}

/** Rounds whose rows `mine` chooses. */
export const rounds = <V>(mine: Mine<V>): DistillCapability<typeof OPTIONS, Values<typeof OPTIONS> & V> => ({
  name: "rounds",
  options: OPTIONS,
  begin: (values) => ({
    answers: true,
    batches(source, { teacher, ...rest }) {
      if (!teacher) throw new TypeError("rounds ask a teacher that answers");
      const given = { ...rest, teacher };
      if (values.augment === "numbers" && !given.tools.tokenizer)
        throw new UserError("--augment numbers reads numbers, and there is no tokenizer", "give --augment sample");
      const all = new Rounds(source, given, values, mine);
      return {
        source: {
          groups: source.groups,
          batchesPerEpoch: source.batchesPerEpoch,
          largest: () => all.largest(),
          next: () => all.next(),
          state: () => source.state(),
          load: (state, what) => source.load(state, what),
        },
        controllers: [
          {
            name: "rounds",
            logged: true,
            values: () => all.counts,
            said: () => (all.counts.round === undefined ? "" : `round ${all.counts.round}: ${all.counts.hard} hard`),
            state: () => all.state(),
            load: (state) => all.load(state),
          },
        ],
      };
    },
  }),
});
