/**
 * Rows that a language model writes itself, in place of rows that are no longer there. A row of a task gives what it
 * begins with, and the model the rest: of a row with a prompt that does not count, the prompt; of others the first
 * tokens. Kept on the host: 4 bytes a token.
 */
import { permutation } from "../../data/shuffle.ts";
import { UserError } from "../../errors.ts";
import type { Json } from "../../json.ts";
import { answered, promptOf } from "../../run/generating/answers.ts";
import { Generator } from "../../run/generating/generate.ts";
import { GREEDY } from "../../run/generating/sampling.ts";
import type { HostTensor, Stream } from "./contract.ts";
import type { RowRef } from "./rows.ts";

export interface SaidValues {
  /** Of every task. */
  readonly synth_rows: number;
  /** Tokens that a row gives, where it has no prompt. */
  readonly synth_prefix: number;
  /** Most tokens that the model adds; when left out, those of the longest row. */
  readonly synth_tokens?: number | undefined;
  readonly temperature: number;
  readonly top_p: number;
}

/** A row that was written. */
interface Said {
  /** The task whose row it begins as. */
  readonly task: number;
  /** Tokens that do not count. */
  readonly prompt: number;
  readonly tokens: number;
}

const isSaid = (value: unknown): value is [number, number, number] =>
  Array.isArray(value) && value.length === 3 && value.every((x) => Number.isSafeInteger(x) && x >= 0);

export class SaidRows {
  readonly #stream: Stream<SaidValues>;
  /** All tokens, one row after the other. */
  #ids = new Float32Array();
  #said: Said[] = [];
  /** Of those that the stream's rows have already. */
  #refs: RowRef[] = [];

  constructor(stream: Stream<SaidValues>) {
    this.#stream = stream;
  }

  /** The rows of this task that the model goes on from, chosen by seed, in the order of the file. */
  #begun(task: number, name: string) {
    const { rows, values, seed } = this.#stream;
    const own = rows.tasks[task]!;
    if (own.kind !== "text")
      throw new UserError(
        "synth learns again what a language model writes, and this model is a classifier",
        "take --method lwf, or er with old rows",
      );
    const places = permutation(own.rows.length, seed, task, name).subarray(0, values.synth_rows);
    return Array.from(places.toSorted(), (place) => {
      const sequence = own.rows[place]!;
      return { place, prompt: promptOf(sequence, values.synth_prefix), tokens: sequence.ids.length };
    });
  }

  /** Lets the model, as it is now, go on from rows of a task, `name` telling one time from another. */
  async write(task: number, name: string): Promise<void> {
    const { model, values, seed, batchSize, dry, signal, tokenizer } = this.#stream;
    const begun = this.#begun(task, name);
    const longest = begun.reduce((most, { tokens }) => Math.max(most, tokens), 0);
    const rooms = begun.map(({ prompt }) => values.synth_tokens ?? longest - prompt.length);
    if (dry) {
      this.#put(
        task,
        begun.map(({ prompt }, i) => ({ prompt, answer: Array<number>(rooms[i]!).fill(0) })),
      );
      return;
    }
    const generator = new Generator(model);
    try {
      const answers = await generator.complete(
        begun.map(({ prompt }) => [...prompt]),
        {
          ...{ ...GREEDY, temperature: values.temperature, topP: values.top_p, seed, maxTokens: Math.max(...rooms) },
          keys: begun.map(({ place }) => `${name} ${task} ${place}`),
          ...{ stop: tokenizer?.ends ?? [], batch: batchSize, signal },
        },
      );
      signal.throwIfAborted();
      const end = tokenizer?.eos === undefined ? [] : [tokenizer.eos];
      const ended = answers.map((own, i) =>
        (own.length < Math.max(...rooms) ? [...own, ...end] : own).slice(0, rooms[i]),
      );
      this.#put(
        task,
        begun.map(({ prompt }, i) => ({ prompt, answer: ended[i]! })),
      );
    } finally {
      generator.free();
    }
  }

  #put(task: number, rows: readonly { readonly prompt: Int32Array; readonly answer: readonly number[] }[]): void {
    const fresh = rows.filter(({ answer }) => answer.length > 0);
    this.#said.push(
      ...fresh.map(({ prompt, answer }) => ({
        ...{ task, prompt: prompt.length, tokens: prompt.length + answer.length },
      })),
    );
    this.#ids = Float32Array.from([...this.#ids, ...fresh.flatMap(({ prompt, answer }) => [...prompt, ...answer])]);
  }

  /** All rows that were written, of which what the model added counts. */
  get rows(): readonly RowRef[] {
    let at = 0;
    const sequences = this.#said.map(({ task, prompt, tokens }, i) => {
      const ids = this.#ids.subarray(at, at + tokens);
      at += tokens;
      const like = { ids: new Int32Array(), labels: new Int32Array(), group: task, place: `written row ${i + 1}` };
      return answered(like, ids.subarray(0, prompt), ids.subarray(prompt));
    });
    const fresh = sequences.slice(this.#refs.length);
    if (fresh.length > 0) this.#refs.push(...this.#stream.rows.add(fresh));
    return this.#refs;
  }

  state(): Json {
    return this.#said.map(({ task, prompt, tokens }) => [task, prompt, tokens]);
  }

  /** Makes room for what `kept` names. Throws UserError for a state of other tasks. */
  load(state: Json): void {
    const fits = Array.isArray(state) && state.every((own) => isSaid(own) && own[0] < this.#stream.tasks.length);
    if (!fits)
      throw new UserError("the saved rows do not fit the tasks", "resume with the data that the run began with");
    this.#said = (state as [number, number, number][]).map(([task, prompt, tokens]) => ({ task, prompt, tokens }));
    this.#ids = new Float32Array(this.#said.reduce((sum, { tokens }) => sum + tokens, 0));
    this.#refs = [];
  }

  get kept(): HostTensor[] {
    return [{ name: "written", shape: [this.#ids.length], values: this.#ids }];
  }
}
