/**
 * The capability of a loss that learns from what the student writes, with its teacher's help: answers to the prompts of
 * the data, each token with what it is worth (text-returns.ts), every batch of answers `reuse` times. Rows of one group
 * of the data may stay as they are.
 *
 * The answers of a step are all written before it, by the student as it is then. Draws are functions of (seed, place of
 * the batch); answers that are to be used again are saved, so a run that resumes goes on as it was.
 */
import { type Batch, isTokens, type TokenBatch } from "../data/batch.ts";
import type { Sequence } from "../data/sequences.ts";
import { UserError } from "../errors.ts";
import { isObject, type Json } from "../json.ts";
import type { Options, Values } from "../method/options.ts";
import { answered, promptOf } from "../run/generating/answers.ts";
import type { BatchSource, DrawnBatch } from "../run/training/batch-source.ts";
import type { BatchesGiven, DistillCapability } from "./capability.ts";
import { MixedSource, writeMixed } from "./mixed-writing.ts";
import { largestSampled, roomFor, rowsOf } from "./sampled.ts";
import { RETURNS, returnsOf, type Worth, whitened } from "./text-returns.ts";

const OPTIONS = {
  alpha: {
    type: "0 <= number < 1",
    default: 0.2,
    help: "share of the teacher in what tokens are drawn from; 0: the student writes alone",
    value: "A",
  },
  ...RETURNS,
  whiten: {
    type: "boolean",
    default: true,
    help: "what tokens are worth, less its mean over a step and divided by its deviation",
  },
  reuse: { type: "number.integer >= 1", default: 4, help: "how often the answers of a step are learnt", value: "N" },
  text: {
    type: "string",
    help: "group of --data whose rows are learnt as they are, beside the answers to the others",
    value: "NAME",
  },
  text_weight: { type: "number >= 0", default: 1, help: "weight of these rows' loss", value: "W" },
} as const satisfies Options;

type Settings = Values<typeof OPTIONS>;

/** Numbers of every position of a batch (N) that the loss reads. */
export type PositionNumbers = Readonly<Record<(typeof NAMES)[number], Float32Array>>;

export const NAMES = ["against", "advantage", "single", "text"] as const;

/** A row, and what the tokens of its answer are worth; undefined for one that stays as it is. */
interface WrittenRow {
  readonly sequence: Sequence;
  readonly prompt: number;
  readonly worth: readonly Worth[] | undefined;
}

/**
 * The numbers of a batch's positions. Answers and rows that stay as they are count as two means, whose sum is the loss.
 */
export function numbersOf(batch: TokenBatch, rows: readonly WrittenRow[], textWeight: number): PositionNumbers {
  const n = batch.rows * batch.length;
  const ofAnswers = rows.reduce((sum, { worth }) => sum + (worth?.length ?? 0), 0);
  const scale = ofAnswers > 0 ? batch.counted / ofAnswers : 0;
  const ofTexts = batch.counted - ofAnswers;
  const textScale = ofTexts > 0 ? (textWeight * batch.counted) / ofTexts : 0;
  const [against, advantage, single, text] = NAMES.map(() => new Float32Array(n));
  for (const [i, { row, start, sequence }] of batch.documents.entries()) {
    const { prompt, worth } = rows[i]!;
    const first = row * batch.length + start;
    if (!worth) text!.fill(textScale, first, first + sequence.ids.length);
    for (const [t, token] of (worth ?? []).entries()) {
      const at = first + prompt + t - 1; // the position that predicts it
      against![at] = token.against;
      advantage![at] = scale * token.advantage;
      single![at] = scale * token.single;
    }
  }
  return { against: against!, advantage: advantage!, single: single!, text: text! };
}

/** Batches of answers, and their numbers. */
class OwnWriting {
  readonly #source: BatchSource<Batch>;
  readonly #given: BatchesGiven;
  readonly #settings: Settings;
  readonly #numbers: WeakMap<Batch, PositionNumbers>;
  /** Position of the group that stays as it is; -1: none. */
  readonly #text: number;
  #mixed: MixedSource | undefined;
  /** The batches of a step, which of them is next, and in which use. */
  #kept: { readonly drawn: DrawnBatch<Batch>; readonly rows: readonly WrittenRow[] }[] = [];
  #next = 0;
  #use = 0;

  constructor(
    source: BatchSource<Batch>,
    given: BatchesGiven,
    settings: Settings,
    numbers: WeakMap<Batch, PositionNumbers>,
  ) {
    [this.#source, this.#given, this.#settings, this.#numbers] = [source, given, settings, numbers];
    this.#text = source.groups.findIndex(({ name }) => name === settings.text);
    if (settings.text !== undefined && this.#text < 0)
      throw new UserError(
        `--text ${settings.text} names no group of --data`,
        `the groups are ${source.groups.map(({ name }) => name).join(", ")}; name one: --data ${settings.text}=FILE`,
      );
    if (source.groups.length === 1 && this.#text === 0)
      throw new UserError(`all rows are of --text ${settings.text}`, "give prompts too: --data tasks=FILE");
  }

  largest(): Batch {
    return largestSampled(this.#source.largest(), this.#given);
  }

  async next(): Promise<DrawnBatch<Batch>> {
    if (this.#next === this.#kept.length) {
      this.#next = 0;
      this.#use++;
      if (this.#kept.length === 0 || this.#use >= this.#settings.reuse) await this.#write();
    }
    return this.#kept[this.#next++]!.drawn;
  }

  async free(): Promise<void> {
    this.#mixed?.free();
  }

  state(): Json {
    const isDone = this.#next === this.#kept.length && this.#use + 1 >= this.#settings.reuse;
    const kept = isDone ? [] : this.#kept;
    return {
      next: isDone ? 0 : this.#next,
      use: this.#use,
      batches: kept.map(({ drawn, rows }) => ({
        epoch: drawn.epoch,
        rows: rows.map(({ sequence: { ids, group, place }, prompt, worth }) => ({
          ...{ ids: [...ids], prompt, group, place },
          worth: worth?.map(({ against, advantage, single }) => [against, advantage, single]) ?? null,
        })),
      })),
    };
  }

  /** Throws UserError for what no state is. */
  load(state: unknown): void {
    if (!isObject(state) || !Array.isArray(state.batches) || !isCount(state.next) || !isCount(state.use)) throw WRONG();
    this.#kept = state.batches.map((batch: unknown) => {
      if (!isObject(batch) || !Array.isArray(batch.rows) || !isCount(batch.epoch)) throw WRONG();
      return this.#batchOf(batch.rows.map(rowOf), batch.epoch);
    });
    [this.#next, this.#use] = [state.next, state.use];
  }

  /** Draws as many batches as a step has, and lets them be answered. */
  async #write(): Promise<void> {
    const { student, teacher, options, accumulate } = this.#given;
    this.#mixed ??= new MixedSource(student, teacher!, {
      alpha: this.#settings.alpha,
      temperature: options.sample_temperature,
    });
    const all: { readonly rows: WrittenRow[]; readonly epoch: number }[] = [];
    for (let i = 0; i < accumulate; i++) {
      const { epoch, batch } = this.#source.state();
      const drawn = await this.#source.next();
      if (!isTokens(drawn.batch)) throw new TypeError("only texts have answers");
      all.push({ rows: await this.#answer(this.#mixed, drawn.batch, `${epoch}.${batch}`), epoch: drawn.epoch });
    }
    const answers = all.flatMap(({ rows }) => rows.flatMap(({ worth }) => (worth ? [worth] : [])));
    const white = this.#settings.whiten ? whitened(answers) : answers;
    const left = white.values();
    this.#kept = all.map(({ rows, epoch }) =>
      this.#batchOf(
        rows.map((row) => (row.worth ? { ...row, worth: left.next().value } : row)),
        epoch,
      ),
    );
    this.#use = 0;
  }

  async #answer(source: MixedSource, { documents }: TokenBatch, place: string): Promise<WrittenRow[]> {
    const { tools, options, seed } = this.#given;
    const eos = tools.tokenizer?.eos;
    const asked = documents.flatMap(({ sequence }, row) =>
      sequence.group === this.#text ? [] : [{ row, sequence, prompt: [...promptOf(sequence, options.prompt_tokens)] }],
    );
    const answers =
      asked.length === 0
        ? []
        : await writeMixed(
            source,
            asked.map(({ prompt }) => prompt),
            {
              keys: asked.map(({ row }) => `mixed.${place}.${row}`),
              seed,
              maxTokens: roomFor(
                asked.map(({ prompt }) => prompt),
                this.#given,
              ),
              stop: eos === undefined ? [] : [eos],
            },
          );
    const rows: WrittenRow[] = documents.map(({ sequence }) => ({ sequence, prompt: 0, worth: undefined }));
    for (const [i, { row, sequence, prompt }] of asked.entries())
      rows[row] = {
        sequence: answered(
          sequence,
          prompt,
          answers[i]!.map(({ id }) => id),
        ),
        prompt: prompt.length,
        worth: returnsOf(answers[i]!, this.#settings),
      };
    return rows;
  }

  #batchOf(rows: readonly WrittenRow[], epoch: number) {
    const batch = rowsOf(
      rows.map(({ sequence }) => sequence),
      this.#given.tools,
    );
    this.#numbers.set(batch, numbersOf(batch, rows, this.#settings.text_weight));
    return { drawn: { batch, epoch }, rows };
  }
}

const WRONG = () => new UserError("the saved run has no state of own answers", "begin anew: leave out --resume");

const isCount = (value: unknown): value is number => typeof value === "number" && Number.isInteger(value) && value >= 0;

/** A row of a saved state. */
function rowOf(row: unknown): WrittenRow {
  if (!isObject(row) || !Array.isArray(row.ids)) throw WRONG();
  const { prompt, group, place, worth } = row;
  const ids = row.ids.filter(isCount);
  if (!isCount(prompt) || !isCount(group) || typeof place !== "string") throw WRONG();
  const sequence = { ids: Int32Array.from(ids), labels: Int32Array.from(ids), group, place };
  if (worth === null) return { sequence, prompt, worth: undefined };
  if (!Array.isArray(worth)) throw WRONG();
  return {
    sequence: answered(sequence, ids.slice(0, prompt), ids.slice(prompt)),
    prompt,
    worth: worth.map((token: unknown) => {
      const numbers = (Array.isArray(token) ? token : []).filter((x): x is number => typeof x === "number");
      if (numbers.length !== 3) throw WRONG();
      const [against, advantage, single] = numbers;
      return { against: against!, advantage: advantage!, single: single! };
    }),
  };
}

export const ownWriting: DistillCapability<typeof OPTIONS> = {
  name: "own-writing",
  options: OPTIONS,
  begin(values, { method, temperature }) {
    if (temperature === 0)
      throw new UserError(
        `${method} draws what it learns from, and --sample-temperature 0 draws nothing`,
        "give --sample-temperature 1",
      );
    const numbers = new WeakMap<Batch, PositionNumbers>();
    return {
      answers: true,
      positions: { names: NAMES, of: (batch) => numbers.get(batch) },
      batches(source, given) {
        const writing = new OwnWriting(source, given, values, numbers);
        return {
          source: {
            groups: source.groups,
            batchesPerEpoch: source.batchesPerEpoch,
            largest: () => writing.largest(),
            next: () => writing.next(),
            state: () => source.state(),
            load: (state, what) => source.load(state, what),
          },
          controllers: [{ name: "own answers", state: () => writing.state(), load: (state) => writing.load(state) }],
          free: () => writing.free(),
        };
      },
    };
  },
};
