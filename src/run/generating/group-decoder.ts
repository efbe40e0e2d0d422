/**
 * One model's logits for groups of sequences that begin alike: every prompt is read once, and its keys and values are
 * copied to the rows of its group.
 *
 * Memory besides the model: the caches of all rows, and of one row more for each group.
 */
import type { Model } from "../../model/model.ts";
import { Decoder } from "./decoder.ts";
import type { LogitSource, ReadOptions } from "./logit-source.ts";

export class GroupDecoder implements LogitSource {
  readonly #prompts: Decoder;
  readonly #rows: Decoder;
  readonly #group: number;

  /** Rows come in groups of `group` that have one prompt. `ref` names the model in messages. */
  constructor(model: Model, group: number, ref = "the model") {
    this.#prompts = new Decoder(model, ref);
    this.#rows = new Decoder(model, ref);
    this.#group = group;
  }

  get sizes(): LogitSource["sizes"] {
    return this.#prompts.sizes;
  }

  /** `prompts` are those of all rows. */
  async read(prompts: readonly (readonly number[])[], options: ReadOptions): Promise<Float32Array> {
    const group = this.#group;
    const first = (_: unknown, row: number) => row % group === 0;
    const logits = await this.#prompts.read(prompts.filter(first), { ...options, names: options.names.filter(first) });
    await this.#rows.takeOver(this.#prompts, group);
    const { outputs } = this.sizes;
    const all = new Float32Array(prompts.length * outputs);
    for (let row = 0; row < prompts.length; row++) {
      const from = Math.floor(row / group) * outputs;
      all.set(logits.subarray(from, from + outputs), row * outputs);
    }
    return all;
  }

  next(sequences: readonly (readonly number[])[], running: ReadonlySet<number>): Promise<Float32Array> {
    return this.#rows.next(sequences, running);
  }

  async plan(batch: number, longest: number, maxTokens: number): Promise<number> {
    const prompts = await this.#prompts.plan(Math.ceil(batch / this.#group), longest, maxTokens);
    return prompts + (await this.#rows.plan(batch, longest, maxTokens));
  }

  free(): void {
    this.#prompts.free();
    this.#rows.free();
  }
}
