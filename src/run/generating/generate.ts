/**
 * Decoding with a key/value cache, several sequences at a time. Entry p of a row's cache is the token at its position
 * p, so rows of different lengths need no masks: what padding left behind is overwritten before it is ever seen. Where
 * a row grows so long that its positions turn otherwise from the first on (longrope), it is read again from there.
 *
 * Memory besides the model: 2 * layers * kvWidth * 4 bytes per row and position; of a layer that keeps a state instead,
 * that state.
 */
import { bucketLength } from "../../data/batch.ts";
import type { TokenInputs } from "../../model/architecture.ts";
import { CacheMemory, type Model } from "../../model/model.ts";
import { embedding } from "../../tensor/ops/embedding.ts";
import type { Program } from "../../tensor/program.ts";
import { SlotPool } from "../../tensor/slots.ts";
import { hasProbabilities, notFinite } from "../not-finite.ts";
import { Programs } from "../programs.ts";
import { Chooser, type SamplingOptions } from "./sampling.ts";

export interface GenerateOptions extends SamplingOptions {
  /** Most tokens that are added to a prompt. */
  readonly maxTokens: number;
  /** Tokens that end a sequence. They are not part of it. */
  readonly stop: readonly number[];
  /** Distinguish the prompts of this batch from others with the same seed; their places when left out. */
  readonly keys?: readonly string[];
  /** What messages call the prompts of this batch: "rows.jsonl:3". */
  readonly names?: readonly string[];
  readonly signal?: AbortSignal;
  /**
   * Of one prompt: begins after the tokens that it shares with what was read and written last, whose keys and values
   * are still there; the memory for them grows by doubling.
   */
  readonly goesOn?: boolean;
}

/** A token of one of the prompts. The last one of a sequence has `done`, and `id` -1 where a stop token ended it. */
export interface Generated {
  readonly row: number;
  readonly id: number;
  readonly done: boolean;
}

/**
 * Decodes with one model.
 *
 *   const generator = new Generator(model);
 *   const [answer] = await generator.complete([prompt], { ...GREEDY, maxTokens: 16, stop: [eos], batch: 1 });
 *   generator.free();
 */
export class Generator {
  readonly model: Model;
  readonly #ref: string;
  readonly #slots: SlotPool;
  /** The cache, and the programs over it. */
  #cached: { readonly memory: CacheMemory; readonly programs: Programs } | undefined;
  /** Of a cache of one row: the tokens whose keys and values it holds, from position 0. */
  #held: number[] = [];

  /** `ref` names the model in messages. */
  constructor(model: Model, ref = "the model") {
    this.model = model;
    this.#ref = ref;
    this.#slots = new SlotPool(model.gpu);
  }

  /** A program over `length` new tokens a row, that gives the logits of one of them a row. */
  async #program(length: number): Promise<Program> {
    const { memory, programs } = this.#cached!;
    const { batch } = memory;
    const { program } = await programs.get(`${length}`, (rec) => {
      const n = batch * length;
      const inputs: TokenInputs = {
        batch,
        length,
        ids: rec.input("ids", [n], "i32"),
        positions: rec.input("positions", [n], "i32"),
        cache: this.model.cache(rec, memory),
      };
      const { hidden, head } = this.model.record(rec, inputs);
      const last = length === 1 ? hidden : embedding(rec, rec.input("last", [batch], "i32"), hidden); // (B, C)
      rec.output("logits", head(last));
    });
    return program;
  }

  /**
   * A program over sequences at once, each after its first `shared` tokens, padded to the longest; padding lies beyond
   * what a row sees.
   */
  async #read(sequences: readonly (readonly number[])[], shared = 0): Promise<Program> {
    const rest = sequences.map((sequence) => sequence.slice(shared));
    const longest = rest.reduce((a, { length }) => Math.max(a, length), 0);
    const length = Math.min(bucketLength(longest), this.#cached!.memory.capacity - shared);
    // Where the length of a sequence decides how it turns, padding must not lengthen it; nor may it enter a state.
    const { turnsAnewBeyond, recurrent } = this.model.sizes;
    const padding = turnsAnewBeyond === undefined && !recurrent ? undefined : -1;
    const ids = new Int32Array(rest.length * length);
    const positions = new Int32Array(rest.length * length);
    for (const [row, own] of rest.entries()) {
      ids.set(own, row * length);
      for (let i = 0; i < length; i++)
        positions[row * length + i] = i < own.length || padding === undefined ? shared + i : padding;
    }
    const program = await this.#program(length);
    program.write("ids", ids);
    program.write("positions", positions);
    // A program of one token a row has its logits and chooses none.
    if (length > 1)
      program.write(
        "last",
        Int32Array.from(rest, (own, row) => row * length + own.length - 1),
      );
    return program;
  }

  /**
   * How many tokens of a prompt need not be read again; its last one is, for its logits. None where a longer sequence
   * turns its beginning anew; all that were read or none where these left one state.
   */
  #sharedWith(prompt: readonly number[]): number {
    if (this.model.sizes.turnsAnewBeyond !== undefined) return 0;
    const differs = prompt.findIndex((id, i) => id !== this.#held[i]);
    const shared = Math.min(differs < 0 ? prompt.length : differs, prompt.length - 1);
    return this.model.sizes.recurrent && shared < this.#held.length ? 0 : shared;
  }

  /** A cache for at least so many tokens; where it has to grow, its programs are compiled again. */
  #cache(batch: number, tokens: number, goesOn: boolean): void {
    const known = this.#cached?.memory;
    const least = bucketLength(tokens);
    if (known && known.batch === batch && known.capacity >= least) return;
    const most = bucketLength(this.model.sizes.maxPositions);
    const capacity = goesOn && known ? Math.max(least, Math.min(most, 2 * known.capacity)) : least;
    this.#freeCache();
    const memory = new CacheMemory(batch, capacity);
    this.#cached = { memory, programs: new Programs(this.model.gpu, { slots: this.#slots }) };
  }

  #freeCache(): void {
    this.#cached?.programs.free();
    this.#cached?.memory.free();
    this.#cached = undefined;
    this.#held = [];
  }

  /**
   * Continues every prompt. Yields tokens as they are decided, all rows in turn. Throws RangeError for an empty prompt
   * or one that is longer than the model's positions allow, UserError where logits are not finite.
   */
  async *generate(prompts: readonly (readonly number[])[], options: GenerateOptions): AsyncGenerator<Generated> {
    const { maxTokens, stop, keys, signal } = options;
    const most = this.model.sizes.maxPositions;
    const longest = prompts.reduce((a, { length }) => Math.max(a, length), 0);
    if (prompts.some(({ length }) => length === 0)) throw new RangeError("a prompt has no tokens");
    if (longest >= most) throw new RangeError(`a prompt of ${longest} tokens leaves nothing of ${most} positions`);
    if (maxTokens < 1) return;
    const batch = prompts.length;
    const { goesOn = false } = options;
    if (goesOn && batch > 1) throw new RangeError("only one prompt at a time goes on");
    this.#cache(batch, Math.min(most, longest + maxTokens), goesOn);
    const sequences = prompts.map((prompt) => [...prompt]);
    const choosers = prompts.map((_, row) => new Chooser(options, keys?.[row] ?? String(row)));
    const running = new Set(prompts.keys());
    const vocabulary = this.model.sizes.outputs;

    let program = await this.#read(prompts, goesOn ? this.#sharedWith(prompts[0]!) : 0);
    this.#held = batch === 1 ? [...prompts[0]!] : [];
    for (let made = 1; ; made++) {
      await program.start();
      const logits = await program.read("logits");
      for (const row of [...running]) {
        const sequence = sequences[row]!;
        const own = logits.subarray(row * vocabulary, (row + 1) * vocabulary);
        if (!hasProbabilities(own)) throw notFinite(this.#ref, options.names?.[row] ?? `prompt ${row + 1}`);
        const id = choosers[row]!.choose(own, sequence);
        const stopped = stop.includes(id);
        if (!stopped) sequence.push(id);
        const done = stopped || made === maxTokens || sequence.length >= most;
        if (done) running.delete(row);
        yield { row, id: stopped ? -1 : id, done };
      }
      if (running.size === 0 || signal?.aborted) return;
      if ([...running].some((row) => sequences[row]!.length - 1 === this.model.sizes.turnsAnewBeyond)) {
        program = await this.#read(sequences);
        continue;
      }
      program = await this.#program(1);
      // Rows that are done repeat their last token at its place, which changes nothing.
      program.write(
        "ids",
        Int32Array.from(sequences, (sequence) => sequence.at(-1)!),
      );
      program.write(
        "positions",
        Int32Array.from(sequences, (sequence) => sequence.length - 1),
      );
      if (batch === 1) this.#held = [...sequences[0]!];
    }
  }

  /** The whole continuations of many prompts, `batch` at a time. */
  async complete(
    prompts: readonly (readonly number[])[],
    options: GenerateOptions & { readonly batch: number; readonly done?: ((prompts: number) => void) | undefined },
  ): Promise<number[][]> {
    const results: number[][] = prompts.map(() => []);
    for (let from = 0; from < prompts.length; from += options.batch) {
      const part = prompts.slice(from, from + options.batch);
      const keys = part.map((_, i) => options.keys?.[from + i] ?? String(from + i));
      const names = part.map((_, i) => options.names?.[from + i] ?? `prompt ${from + i + 1}`);
      for await (const { row, id } of this.generate(part, { ...options, keys, names }))
        if (id >= 0) results[from + row]!.push(id);
      options.done?.(part.length);
    }
    return results;
  }

  /**
   * Takes the memory that this many prompts at once need, as `generate` does, and runs nothing. Gives the bytes of the
   * cache. `longest` is the longest prompt in tokens.
   */
  async plan(batch: number, longest: number, maxTokens: number): Promise<number> {
    this.#cache(batch, Math.min(this.model.sizes.maxPositions, longest + maxTokens), false);
    const { memory } = this.#cached!;
    await this.#program(Math.min(bucketLength(longest), memory.capacity));
    await this.#program(1);
    return memory.bytes;
  }

  free(): void {
    this.#freeCache();
    this.#slots.free();
  }
}
