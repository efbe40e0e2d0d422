/**
 * Several models that write one after the other: the first writes the beginning of an answer, the next goes on from a
 * given token. Of an answer that is to begin as one model writes and end as another does. After the switch between two
 * merges along the generation in EDG, https://arxiv.org/abs/2503.00948, with the index of the token for the time.
 */
import type { Decoder } from "../run/generating/decoder.ts";
import type { LogitSource, ReadOptions } from "../run/generating/logit-source.ts";

export class Switching implements LogitSource {
  readonly sizes: LogitSource["sizes"];
  readonly #decoders: readonly Decoder[];
  /** Tokens of an answer that are written before a decoder begins, in their order; 0 for the first. */
  readonly #begins: readonly number[];
  #options: ReadOptions = { most: 0, names: [] };
  /** Tokens of each answer so far. */
  #written = 0;
  #at = 0;

  /** `switchAt`: rising, one for every decoder after the first. */
  constructor(decoders: readonly Decoder[], switchAt: readonly number[]) {
    this.#decoders = decoders;
    this.#begins = [0, ...switchAt];
    this.sizes = {
      maxPositions: Math.min(...decoders.map(({ sizes }) => sizes.maxPositions)),
      outputs: Math.max(...decoders.map(({ sizes }) => sizes.outputs)),
    };
  }

  async read(prompts: readonly (readonly number[])[], options: ReadOptions): Promise<Float32Array> {
    this.#options = options;
    this.#written = 0;
    this.#at = this.#decoderFor(0);
    return this.#widened(await this.#decoders[this.#at]!.read(prompts, options), prompts.length);
  }

  async next(sequences: readonly (readonly number[])[], running: ReadonlySet<number>): Promise<Float32Array> {
    this.#written++;
    const at = this.#decoderFor(this.#written);
    const decoder = this.#decoders[at]!;
    const logits =
      at === this.#at ? decoder.next(sequences, running) : decoder.read(sequences, { ...this.#options, goesOn: false });
    this.#at = at;
    return this.#widened(await logits, sequences.length);
  }

  async plan(batch: number, longest: number, maxTokens: number): Promise<number> {
    let bytes = 0;
    for (const decoder of this.#decoders) bytes += await decoder.plan(batch, longest, maxTokens);
    return bytes;
  }

  free(): void {
    for (const decoder of this.#decoders) decoder.free();
  }

  /** The last that has begun when so many tokens are written. */
  #decoderFor(written: number): number {
    return this.#begins.findLastIndex((begin) => begin <= written);
  }

  /** Ids that a model lacks cannot be drawn. */
  #widened(logits: Float32Array, rows: number): Float32Array {
    const { outputs } = this.sizes;
    const width = this.#decoders[this.#at]!.sizes.outputs;
    if (width === outputs) return logits;
    const wide = new Float32Array(rows * outputs).fill(Number.NEGATIVE_INFINITY);
    for (let row = 0; row < rows; row++) wide.set(logits.subarray(row * width, (row + 1) * width), row * outputs);
    return wide;
  }
}
