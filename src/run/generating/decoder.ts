/**
 * One model's logits with a key/value cache, several sequences at a time. Entry p of a row's cache is the token at its
 * position p, so rows of different lengths need no masks: what padding left behind is overwritten before it is ever
 * seen. Where a row grows so long that its positions turn otherwise from the first on (longrope), it is read again from
 * there.
 *
 * Memory besides the model: 2 * layers * kvWidth * 4 bytes per row and position; of a layer that keeps a state instead,
 * that state.
 */
import { bucketLength } from "../../data/batch.ts";
import type { TokenInputs } from "../../model/architecture.ts";
import { CacheMemory } from "../../model/cache-memory.ts";
import type { Depth } from "../../model/depth.ts";
import { recordHeadOn } from "../../model/head-on.ts";
import type { Model } from "../../model/model.ts";
import { embedding } from "../../tensor/ops/embedding.ts";
import type { Program } from "../../tensor/program.ts";
import type { Recorder } from "../../tensor/recorder.ts";
import { SlotPool } from "../../tensor/slots.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { hasProbabilities, notFinite } from "../not-finite.ts";
import { Programs } from "../programs.ts";
import type { LogitSource, ReadOptions } from "./logit-source.ts";

/** Which layers read a prompt, and which write what follows; all of them when left out. */
export interface Depths {
  readonly prompt?: Depth;
  readonly next?: Depth;
}

/** How a decoder runs its model; as it is when left out. */
export interface Ways extends Depths {
  /** The experts that every token takes, by rank from 0. */
  readonly ranks?: readonly number[] | undefined;
  /** Layers after which the head reads too, 0 the embedding: `early` has what it says. Without `prompt` and `next`. */
  readonly early?: readonly number[];
}

export class Decoder implements LogitSource {
  readonly model: Model;
  readonly ref: string;
  readonly #slots: SlotPool;
  /** The cache, and the programs over it. */
  #cached: { readonly memory: CacheMemory; readonly programs: Programs; begun?: true } | undefined;
  /** Of a cache of one row: the tokens whose keys and values it holds, from position 0. */
  #held: number[] = [];
  #names: readonly string[] = [];
  readonly #ways: Ways;
  /** What the head said after each layer of `ways.early` when logits were given last, (B, V) each. */
  early: readonly Float32Array[] = [];

  /** `ref` names the model in messages. */
  constructor(model: Model, ref: string, ways: Ways = {}) {
    this.#ways = ways;
    this.model = model;
    this.ref = ref;
    this.#slots = new SlotPool(model.gpu);
  }

  get sizes(): LogitSource["sizes"] {
    return this.model.sizes;
  }

  /** What reads, for what checks it: itself. */
  get readers() {
    return [{ ref: this.ref, sizes: this.model.sizes }];
  }

  /** A program over `length` tokens a row, of prompts or new ones, that gives the logits of one of them a row. */
  async #program(length: number, of: keyof Depths = "next"): Promise<Program> {
    const { memory, programs } = this.#cached!;
    const { batch } = memory;
    const { program } = await programs.get(`${length} ${this.#ways[of] ? of : ""}`, (rec) => {
      const places = length === 1 ? undefined : rec.input("last", [batch], "i32");
      this.#record(rec, length, {
        depth: this.#ways[of],
        seen: (states) => (places ? embedding(rec, places, states) : states), // (B, C)
      });
    });
    return program;
  }

  /** Records a pass over `length` tokens a row, with the logits of the states that are `seen` of all (B * T, C). */
  #record(
    rec: Recorder,
    length: number,
    { depth, seen }: { readonly depth: Depth | undefined; seen(states: Tensor): Tensor },
  ): void {
    const { memory } = this.#cached!;
    const { ranks, early = [] } = this.#ways;
    const n = memory.batch * length;
    const inputs: TokenInputs = {
      batch: memory.batch,
      length,
      ids: rec.input("ids", [n], "i32"),
      positions: rec.input("positions", [n], "i32"),
      cache: this.model.cache(rec, memory),
    };
    const { hidden, head, notes } = this.model.record(rec, inputs, { depth, ranks });
    rec.output("logits", head(seen(hidden)));
    for (const layer of early) {
      const read = recordHeadOn(this.model, rec, inputs, { layer, notes });
      rec.output(`logits.${layer}`, read.head(seen(read.hidden)));
    }
  }

  /** Fills a new cache with what the model's adapter puts before every sequence. */
  async #begin(): Promise<void> {
    const cached = this.#cached!;
    if (cached.begun) return;
    if (this.model.beginsCaches) await (await this.#ahead()).start();
    cached.begun = true;
  }

  async #ahead(): Promise<Program> {
    const { memory, programs } = this.#cached!;
    const record = (rec: Recorder) => this.model.recordAhead(rec, this.model.cache(rec, memory));
    return (await programs.get("ahead", record)).program;
  }

  /**
   * Runs a program over sequences at once, each after its first tokens, as many as `shared` says of each, padded to the
   * longest; padding lies beyond what a row sees.
   */
  async #readAll(
    sequences: readonly (readonly number[])[],
    shared: readonly number[],
    of: keyof Depths = "prompt",
  ): Promise<Program> {
    await this.#begin();
    const rest = sequences.map((sequence, row) => sequence.slice(shared[row]));
    const longest = rest.reduce((a, { length }) => Math.max(a, length), 0);
    const length = Math.min(bucketLength(longest), this.#cached!.memory.capacity - Math.max(...shared));
    // Where the length of a sequence decides how it turns, padding must not lengthen it; nor may it enter a state.
    const { turnsAnewBeyond, recurrent } = this.model.sizes;
    const padding = turnsAnewBeyond === undefined && !recurrent ? undefined : -1;
    const ids = new Int32Array(rest.length * length);
    const positions = new Int32Array(rest.length * length);
    for (const [row, own] of rest.entries()) {
      ids.set(own, row * length);
      for (let i = 0; i < length; i++)
        positions[row * length + i] = i < own.length || padding === undefined ? shared[row]! + i : padding;
    }
    const program = await this.#program(length, of);
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

  /** Logits of a program that was filled; of places that count, one a row if `rowOf` says no more, checked. */
  async #logits(program: Program, places: Iterable<number>, rowOf = (place: number) => place): Promise<Float32Array> {
    await program.start();
    const logits = await program.read("logits");
    this.early = await Promise.all((this.#ways.early ?? []).map((layer) => program.read(`logits.${layer}`)));
    const { outputs } = this.model.sizes;
    for (const place of places) {
      if (hasProbabilities(logits.subarray(place * outputs, (place + 1) * outputs))) continue;
      throw notFinite(this.ref, this.#names[rowOf(place)] ?? `prompt ${rowOf(place) + 1}`);
    }
    return logits;
  }

  /** With `goesOn` the memory grows by doubling. */
  async read(prompts: readonly (readonly number[])[], options: ReadOptions): Promise<Float32Array> {
    const { most, names, goesOn = false } = options;
    this.#names = names;
    this.#cache(prompts.length, Math.min(this.model.sizes.maxPositions, most), goesOn);
    const program = await this.#readAll(
      prompts,
      prompts.map((prompt) => (goesOn ? this.#sharedWith(prompt) : 0)),
    );
    this.#held = prompts.length === 1 ? [...prompts[0]!] : [];
    return this.#logits(program, prompts.keys());
  }

  async next(sequences: readonly (readonly number[])[], running: ReadonlySet<number>): Promise<Float32Array> {
    const { turnsAnewBeyond } = this.model.sizes;
    if ([...running].some((row) => sequences[row]!.length - 1 === turnsAnewBeyond))
      return this.#logits(
        await this.#readAll(
          sequences,
          sequences.map(() => 0),
        ),
        running,
      );
    const program = await this.#program(1);
    // Rows that are done repeat their last token at its place, which changes nothing.
    program.write(
      "ids",
      Int32Array.from(sequences, (sequence) => sequence.at(-1)!),
    );
    program.write(
      "positions",
      Int32Array.from(sequences, (sequence) => sequence.length - 1),
    );
    if (sequences.length === 1) this.#held = [...sequences[0]!];
    return this.#logits(program, running);
  }

  /**
   * The logits after the last token of each sequence, of which the first tokens were read, as many as `read` says of
   * each: what came since is read at once. Of sequences that are not `running` nothing counts.
   */
  async catchUp(
    sequences: readonly (readonly number[])[],
    read: readonly number[],
    running: ReadonlySet<number>,
  ): Promise<Float32Array> {
    const anew = this.model.sizes.turnsAnewBeyond !== undefined;
    const from = sequences.map(({ length }, row) => (anew ? 0 : Math.min(read[row]!, length - 1)));
    const program = await this.#readAll(sequences, from, anew ? "prompt" : "next");
    if (sequences.length === 1) this.#held = [...sequences[0]!];
    return this.#logits(program, running);
  }

  /**
   * The logits after every new token of the sequences, (B, `length`, V), in order: of each the first tokens were read,
   * as many as `read` says, and at most `length` are new. Places beyond a row's new tokens do not count. What was read
   * of a row beyond its first tokens is forgotten, so the sequences may differ there. Of models whose cache is of
   * positions alone: no layer keeps a state, and none turns its beginning anew.
   */
  async block(
    sequences: readonly (readonly number[])[],
    read: readonly number[],
    length: number,
  ): Promise<Float32Array> {
    const { programs } = this.#cached!;
    const n = sequences.length * length;
    const ids = new Int32Array(n);
    const positions = new Int32Array(n).fill(-1); // padding is neither kept nor seen
    const counted: number[] = [];
    for (const [row, sequence] of sequences.entries())
      for (let at = read[row]!; at < sequence.length; at++) {
        const place = row * length + at - read[row]!;
        ids[place] = sequence[at]!;
        positions[place] = at;
        counted.push(place);
      }
    const { program } = await programs.get(`block ${length}`, (rec) =>
      this.#record(rec, length, { depth: this.#ways.next, seen: (states) => states }),
    );
    program.write("ids", ids);
    program.write("positions", positions);
    if (sequences.length === 1) this.#held = [...sequences[0]!];
    return this.#logits(program, counted, (place) => Math.floor(place / length));
  }

  /**
   * Takes over what another decoder of the same model has read, every sequence of it `group` times, in a cache of as
   * many positions. What follows is `next`.
   */
  async takeOver(from: Decoder, group: number): Promise<void> {
    const { memory } = from.#cached!;
    this.#names = from.#names.flatMap((name) => Array<string>(group).fill(name));
    const [batch, tokens] = [group * memory.batch, memory.capacity];
    if (this.#cached?.memory.batch !== batch || this.#cached.memory.capacity !== tokens) {
      this.#freeCache();
      this.#cached = {
        memory: new CacheMemory(batch, tokens),
        programs: new Programs(this.model.gpu, { slots: this.#slots }),
      };
    }
    await this.#program(1); // its recording asks for every layer
    this.#cached!.begun = true;
    memory.spread(this.model.gpu, this.#cached!.memory, group);
  }

  /**
   * Makes room for rows of at least so many tokens and gives for how many there is room. What rows held is lost where
   * there was less.
   */
  hold(batch: number, tokens: number): number {
    this.#cache(batch, Math.min(this.model.sizes.maxPositions, tokens), false);
    return this.#cached!.memory.capacity;
  }

  /**
   * Takes over into a row what another decoder of the same model, with as much room, has read of one prompt. The other
   * rows stay as they are. What follows is `next`.
   */
  async adopt(from: Decoder, row: number): Promise<void> {
    await this.#program(1); // its recording asks for every layer
    this.#cached!.begun = true;
    from.#cached!.memory.place(this.model.gpu, this.#cached!.memory, row);
  }

  async plan(batch: number, longest: number, maxTokens: number): Promise<number> {
    this.#cache(batch, Math.min(this.model.sizes.maxPositions, longest + maxTokens), false);
    const { memory } = this.#cached!;
    await this.#program(Math.min(bucketLength(longest), memory.capacity), "prompt");
    await this.#program(1);
    if (this.model.beginsCaches) await this.#ahead();
    return memory.bytes;
  }

  free(): void {
    this.#freeCache();
    this.#slots.free();
  }
}
