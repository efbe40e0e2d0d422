/**
 * Decoding with a key/value cache, several sequences at a time. Entry p of a row's cache is the token at its position
 * p, so rows of different lengths need no masks: what padding left behind is overwritten before it is ever seen. Where
 * a row grows so long that its positions turn otherwise from the first on (longrope), it is read again from there.
 *
 * Memory besides the model: 2 * layers * kvWidth * 4 bytes per row and position.
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

  /** A program over whole sequences at once, padded to the longest; padding lies beyond what a row sees. */
  async #whole(sequences: readonly (readonly number[])[]): Promise<Program> {
    const longest = sequences.reduce((a, { length }) => Math.max(a, length), 0);
    const length = Math.min(bucketLength(longest), this.#cached!.memory.capacity);
    // Where the length of a sequence decides how it turns, padding must not lengthen it.
    const padding = this.model.sizes.turnsAnewBeyond === undefined ? undefined : -1;
    const ids = new Int32Array(sequences.length * length);
    const positions = new Int32Array(sequences.length * length);
    for (const [row, sequence] of sequences.entries()) {
      ids.set(sequence, row * length);
      for (let i = 0; i < length; i++)
        positions[row * length + i] = i < sequence.length || padding === undefined ? i : padding;
    }
    const program = await this.#program(length);
    program.write("ids", ids);
    program.write("positions", positions);
    program.write(
      "last",
      Int32Array.from(sequences, (sequence, row) => row * length + sequence.length - 1),
    );
    return program;
  }

  /** A cache for at least so many tokens; where it has to grow, its programs are compiled again. */
  #cache(batch: number, tokens: number): void {
    const capacity = bucketLength(tokens);
    const known = this.#cached?.memory;
    if (known && known.batch === batch && known.capacity >= capacity) return;
    this.#freeCache();
    const memory = new CacheMemory(batch, capacity);
    this.#cached = { memory, programs: new Programs(this.model.gpu, { slots: this.#slots }) };
  }

  #freeCache(): void {
    this.#cached?.programs.free();
    this.#cached?.memory.free();
    this.#cached = undefined;
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
    this.#cache(batch, Math.min(most, longest + maxTokens));
    const sequences = prompts.map((prompt) => [...prompt]);
    const choosers = prompts.map((_, row) => new Chooser(options, keys?.[row] ?? String(row)));
    const running = new Set(prompts.keys());
    const vocabulary = this.model.sizes.outputs;

    let program = await this.#whole(prompts);
    for (let made = 1; ; made++) {
      program.run();
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
        program = await this.#whole(sequences);
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
    }
  }

  /** The whole continuations of many prompts, `batch` at a time. */
  async complete(
    prompts: readonly (readonly number[])[],
    options: GenerateOptions & { readonly batch: number },
  ): Promise<number[][]> {
    const results: number[][] = prompts.map(() => []);
    for (let from = 0; from < prompts.length; from += options.batch) {
      const part = prompts.slice(from, from + options.batch);
      const keys = part.map((_, i) => options.keys?.[from + i] ?? String(from + i));
      const names = part.map((_, i) => options.names?.[from + i] ?? `prompt ${from + i + 1}`);
      for await (const { row, id } of this.generate(part, { ...options, keys, names }))
        if (id >= 0) results[from + row]!.push(id);
    }
    return results;
  }

  free(): void {
    this.#freeCache();
    this.#slots.free();
  }
}
