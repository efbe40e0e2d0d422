/**
 * A weak model that writes where it is sure, and a strong one where it is not: the weak one reads every token, and its
 * confidence c decides. Zeng et al., Mixture of Weak and Strong Experts on Graphs, 2024,
 * https://arxiv.org/abs/2311.05185, section 2.3; here of each next token.
 *
 * "choose": the weak model's probabilities with probability c, else the strong one's, which then reads what it has
 * missed. "average": c times the one's and 1 - c times the other's; both read every token.
 */
import { keyedUnits } from "../keyed-random.ts";
import { logProbabilities } from "../run/combining/log-probabilities.ts";
import { confidence, type Dispersion } from "../run/confidence.ts";
import type { Decoder } from "../run/generating/decoder.ts";
import type { LogitSource, ReadOptions } from "../run/generating/logit-source.ts";

export interface CascadeSettings {
  readonly kind: Dispersion;
  /** Power of the dispersion: above 1 the strong model writes more. */
  readonly alpha: number;
  readonly rule: "choose" | "average";
  readonly seed: number;
}

/** What is known of one answer. */
interface Row {
  readonly unit: () => number;
  /** Tokens that the strong model has read. */
  read: number;
  /** Tokens that were decided, and for how many of them the strong model was asked. */
  decided: number;
  asked: number;
}

export class Cascade implements LogitSource {
  readonly sizes: LogitSource["sizes"];
  readonly #weak: Decoder;
  readonly #strong: Decoder;
  readonly #settings: CascadeSettings;
  #rows: Row[] = [];
  #options: ReadOptions | undefined;
  #decided = 0;
  #asked = 0;

  constructor(weak: Decoder, strong: Decoder, settings: CascadeSettings) {
    this.#weak = weak;
    this.#strong = strong;
    this.#settings = settings;
    this.sizes = {
      maxPositions: Math.min(weak.sizes.maxPositions, strong.sizes.maxPositions),
      outputs: Math.max(weak.sizes.outputs, strong.sizes.outputs),
    };
  }

  async read(prompts: readonly (readonly number[])[], options: ReadOptions): Promise<Float32Array> {
    const { seed } = this.#settings;
    // The strong model begins anew where it is asked first.
    this.#options = { ...options, goesOn: false };
    this.#rows = prompts.map((_, row) => ({
      ...{ unit: keyedUnits(seed, `cascade ${options.keys?.[row] ?? row}`), read: 0, decided: 0, asked: 0 },
    }));
    const logits = await this.#weak.read(prompts, options);
    return this.#decide(logits, prompts, new Set(prompts.keys()));
  }

  async next(sequences: readonly (readonly number[])[], running: ReadonlySet<number>): Promise<Float32Array> {
    return this.#decide(await this.#weak.next(sequences, running), sequences, running);
  }

  /** Tokens of a row that were decided, and those for which the strong model was asked. */
  notes(row: number): { decided: number; strong: number } {
    const { decided, asked } = this.#rows[row]!;
    return { decided, strong: asked };
  }

  summary(): string {
    return `the strong model was asked for ${this.#asked} of ${this.#decided} tokens`;
  }

  async plan(batch: number, longest: number, maxTokens: number): Promise<number> {
    return (await this.#weak.plan(batch, longest, maxTokens)) + (await this.#strong.plan(batch, longest, maxTokens));
  }

  free(): void {
    this.#weak.free();
    this.#strong.free();
  }

  /** The logits that count, (B, V); rows that do not are 0. */
  async #decide(
    weak: Float32Array,
    sequences: readonly (readonly number[])[],
    running: ReadonlySet<number>,
  ): Promise<Float32Array> {
    const { kind, alpha, rule } = this.#settings;
    const width = this.#weak.sizes.outputs;
    const own = (row: number) => weak.subarray(row * width, (row + 1) * width);
    const sure = new Map([...running].map((row) => [row, confidence(own(row), kind, alpha)]));
    const asks = new Set<number>();
    for (const [row, c] of sure) {
      const known = this.#rows[row]!;
      known.decided++;
      this.#decided++;
      // One draw a token, whatever comes of it; c = 1 never asks, and c = 0 always does.
      if (rule === "average" ? c < 1 : known.unit() >= c) asks.add(row);
    }
    const strong = asks.size > 0 ? await this.#ask(sequences, running) : undefined;
    const { outputs } = this.sizes;
    const logits = new Float32Array(sequences.length * outputs);
    const other = this.#strong.sizes.outputs;
    for (const [row, c] of sure) {
      const p = logProbabilities(own(row), outputs);
      if (asks.has(row)) {
        this.#rows[row]!.asked++;
        this.#asked++;
        const q = logProbabilities(strong!.subarray(row * other, (row + 1) * other), outputs);
        for (const [id, log] of q.entries())
          p[id] = rule === "choose" ? log : Math.log(c * Math.exp(p[id]!) + (1 - c) * Math.exp(log));
      }
      logits.set(p, row * outputs);
    }
    return logits;
  }

  /** The strong model's logits: it reads what it has missed of all rows that run. */
  async #ask(sequences: readonly (readonly number[])[], running: ReadonlySet<number>): Promise<Float32Array> {
    const began = this.#rows.some(({ read }) => read > 0);
    const logits = began
      ? await this.#strong.catchUp(
          sequences,
          this.#rows.map(({ read }) => read),
          running,
        )
      : await this.#strong.read(sequences, this.#options!);
    for (const [row, known] of this.#rows.entries()) known.read = sequences[row]!.length;
    return logits;
  }
}
