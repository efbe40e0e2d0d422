/**
 * Answers that come and go: each is written in a row of its own, and begins while others are written. Its prompt is
 * read alone, and what is kept of it goes to the row; all rows then go on by a token at a time. A row that nobody has
 * runs along and means nothing. So an answer is computed in the same shapes whatever is written beside it.
 *
 * Memory besides the model: the caches of all rows, and of one row more for prompts.
 */
import type { Model } from "../../model/model.ts";
import { Decoder } from "./decoder.ts";
import type { Generated } from "./generate.ts";
import { Chooser, type SamplingOptions } from "./sampling.ts";

/** What a row writes. */
export interface Written {
  readonly ids: readonly number[];
  readonly sampling: SamplingOptions;
  /** Distinguishes it from others with the same seed. */
  readonly key: string;
  readonly maxTokens: number;
  /** Tokens that end it. */
  readonly stop: readonly number[];
  /** Takes a token that is part of it; true ends it. */
  push(id: number): boolean;
  /** Takes what is known of the token, or of the one that ended it. */
  take(made: Omit<Generated, "row">): void;
}

interface Row {
  readonly written: Written;
  readonly sequence: number[];
  readonly chooser: Chooser;
  made: number;
}

export class RowWriter {
  readonly #reader: Decoder;
  readonly #rows: Decoder;
  /** Of each row; undefined where nobody has it. */
  readonly #busy: (Row | undefined)[];
  #room = 0;

  /** `ref` names the model in messages. */
  constructor(model: Model, ref: string, rows: number) {
    this.#reader = new Decoder(model, ref);
    this.#rows = new Decoder(model, ref);
    this.#busy = Array.from({ length: rows }, () => undefined);
  }

  /** Rows that write. */
  get running(): number {
    return this.#busy.filter((row) => row !== undefined).length;
  }

  /** Whether an answer can begin now. One that is longer than all before it waits until no row writes. */
  fits(written: Written): boolean {
    if (this.running === 0) return true;
    return this.running < this.#busy.length && this.#most(written) <= this.#room;
  }

  /**
   * Reads the prompt of an answer that fits and makes its first token. Throws UserError where logits are not finite.
   */
  async join(written: Written): Promise<void> {
    if (this.#most(written) > this.#room) {
      this.#room = this.#rows.hold(this.#busy.length, this.#most(written));
      this.#reader.hold(1, this.#room);
    }
    const at = this.#busy.indexOf(undefined);
    const options = { most: this.#room, names: ["the prompt"] };
    const logits = await this.#reader.read([written.ids], options);
    await this.#rows.adopt(this.#reader, at);
    const chooser = new Chooser(written.sampling, written.key);
    this.#busy[at] = { written, sequence: [...written.ids], chooser, made: 0 };
    this.#choose(at, logits);
  }

  /** Makes the next token of every row that writes. Throws UserError where logits are not finite. */
  async step(): Promise<void> {
    const running = new Set(this.#busy.keys().filter((at) => this.#busy[at] !== undefined));
    const sequences = this.#busy.map((row) => row?.sequence ?? [0]);
    const logits = await this.#rows.next(sequences, running);
    const { outputs } = this.#rows.sizes;
    for (const at of running) this.#choose(at, logits.subarray(at * outputs, (at + 1) * outputs));
  }

  /** Leaves all rows to nobody. */
  clear(): void {
    this.#busy.fill(undefined);
  }

  /** Takes the memory for answers of so many tokens and runs nothing. Gives the bytes of what is kept of tokens. */
  async plan(longest: number, maxTokens: number): Promise<number> {
    const rows = await this.#rows.plan(this.#busy.length, longest, maxTokens);
    return rows + (await this.#reader.plan(1, longest, maxTokens));
  }

  free(): void {
    this.#reader.free();
    this.#rows.free();
  }

  #most({ ids, maxTokens }: Written): number {
    return Math.min(this.#rows.sizes.maxPositions, ids.length + maxTokens);
  }

  #choose(at: number, logits: Float32Array): void {
    const row = this.#busy[at]!;
    const { written, sequence, chooser } = row;
    const chosen = chooser.choose(logits, sequence);
    const stopped = written.stop.includes(chosen);
    if (!stopped) sequence.push(chosen);
    row.made++;
    const ended = stopped || written.push(chosen);
    const isLast = row.made === written.maxTokens || sequence.length >= this.#rows.sizes.maxPositions;
    const done = ended || isLast;
    if (done) this.#busy[at] = undefined;
    written.take({ id: stopped ? -1 : chosen, done, chosen, logits });
  }
}
