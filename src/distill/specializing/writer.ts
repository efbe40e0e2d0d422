/** A model that goes on after prompts of text, until a text that ends what it writes. */
import type { Tokenizer } from "../../data/tokenizer.ts";
import type { Model } from "../../model/model.ts";
import { Generator } from "../../run/generating/generate.ts";
import { GREEDY } from "../../run/generating/sampling.ts";
import { stopIn } from "../../run/generating/stop-texts.ts";

export interface WriterOptions {
  readonly temperature: number;
  readonly seed: number;
  readonly signal: AbortSignal;
}

export interface Asked {
  readonly prompts: readonly string[];
  /** Distinguish the draws of each. */
  readonly keys: readonly string[];
  readonly maxTokens: number;
  readonly stops: readonly string[];
}

export class Writer {
  readonly #generator: Generator;
  readonly #model: Model;
  readonly #tokenizer: Tokenizer;
  readonly #options: WriterOptions;

  constructor(model: Model, tokenizer: Tokenizer, options: WriterOptions) {
    this.#generator = new Generator(model);
    this.#model = model;
    this.#tokenizer = tokenizer;
    this.#options = options;
  }

  /** Whether a prompt leaves room for so many tokens. */
  fits(prompt: string, maxTokens: number): boolean {
    return this.#ids(prompt).length + maxTokens <= this.#model.sizes.maxPositions;
  }

  #ids(prompt: string): number[] {
    return [...this.#tokenizer.encode(prompt, { special: true })];
  }

  /**
   * What was written after each prompt, with the text that ends it where one came; an end token stands for the first.
   */
  async write({ prompts, keys, maxTokens, stops }: Asked): Promise<string[]> {
    const { temperature, seed, signal } = this.#options;
    const { eos } = this.#tokenizer;
    const written = prompts.map((): number[] => []);
    const ended = new Set<number>();
    const text = (row: number) => this.#tokenizer.decode(written[row]!, { skipSpecial: true });
    const stream = this.#generator.generate(
      prompts.map((prompt) => this.#ids(prompt)),
      {
        ...{ ...GREEDY, temperature, seed, keys, maxTokens, signal, stop: eos === undefined ? [] : [eos] },
        ends: (row, id) => {
          written[row]!.push(id);
          return id === eos || stopIn(text(row), stops) !== undefined;
        },
      },
    );
    for await (const { row, id } of stream) if (id < 0) ended.add(row);
    signal.throwIfAborted();
    return written.map((_, row) => (ended.has(row) ? `${text(row)}${stops[0]}` : text(row)));
  }

  free(): void {
    this.#generator.free();
  }
}
