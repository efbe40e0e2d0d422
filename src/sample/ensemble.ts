/**
 * Several models that write together: the next token is drawn from a mixture of their probabilities, whose weights
 * follow how well each mixture foretold the prompt and what was written since.
 *
 * Cover 1991, https://doi.org/10.1111/j.1467-9965.1991.tb00002.x; see run/universal-mixture.ts. "equal" weighs all
 * models alike at every token.
 */
import { collate } from "../data/batch.ts";
import { asFarAsItGoes } from "../gpu/dry-device.ts";
import { logProbabilities } from "../run/combining/log-probabilities.ts";
import type { Decoder } from "../run/generating/decoder.ts";
import type { LogitSource, ReadOptions } from "../run/generating/logit-source.ts";
import { Scorer } from "../run/scoring/scorer.ts";
import { type MixtureSettings, UNIVERSAL, UniversalMixture } from "../run/universal-mixture.ts";

export type EnsembleKind = "universal" | "bayes" | "equal";

/** log sum_i w_i exp(logs_i), entry by entry. */
function mixed(logs: readonly Float64Array[], weights: ArrayLike<number>): Float32Array {
  return Float32Array.from(logs[0]!, (_, id) => {
    let p = 0;
    for (let i = 0; i < logs.length; i++) p += weights[i]! * Math.exp(logs[i]![id]!);
    return Math.log(p);
  });
}

/** What is known of one answer. */
interface Row {
  readonly mixture: UniversalMixture | undefined;
  /** Tokens of the sequence that the mixture has heard. */
  heard: number;
  /** What each model says of the next token. */
  logs: Float64Array[];
}

export class Ensemble implements LogitSource {
  readonly sizes: LogitSource["sizes"];
  readonly #decoders: readonly Decoder[];
  readonly #scorers: readonly Scorer[];
  readonly #settings: MixtureSettings | undefined;
  #rows: Row[] = [];

  /** `discount`: what a token counts one token later, as a power. */
  constructor(decoders: readonly Decoder[], kind: EnsembleKind, discount: number) {
    this.#decoders = decoders;
    this.#scorers = decoders.map(({ model }) => new Scorer(model));
    this.#settings = kind === "equal" ? undefined : { ...UNIVERSAL, kind, discount };
    this.sizes = {
      maxPositions: Math.min(...decoders.map(({ sizes }) => sizes.maxPositions)),
      outputs: Math.max(...decoders.map(({ sizes }) => sizes.outputs)),
    };
  }

  async read(prompts: readonly (readonly number[])[], options: ReadOptions): Promise<Float32Array> {
    const settings = this.#settings;
    this.#rows = prompts.map(({ length }) => ({
      mixture: settings && new UniversalMixture(this.#decoders.length, settings),
      heard: length,
      logs: [],
    }));
    if (settings) await this.#hearPrompts(prompts);
    const all: Float32Array[] = [];
    for (const decoder of this.#decoders) all.push(await decoder.read(prompts, options));
    return this.#mix(all, prompts.keys());
  }

  async next(sequences: readonly (readonly number[])[], running: ReadonlySet<number>): Promise<Float32Array> {
    for (const row of running) this.#hear(row, sequences[row]!);
    const all: Float32Array[] = [];
    for (const decoder of this.#decoders) all.push(await decoder.next(sequences, running));
    return this.#mix(all, running);
  }

  /** The weights of the models for the next token of a row, in their order. */
  notes(row: number): { weights: number[] } {
    return { weights: [...this.#weights(this.#rows[row]!)] };
  }

  async plan(batch: number, longest: number, maxTokens: number): Promise<number> {
    let bytes = 0;
    for (const decoder of this.#decoders) bytes += await decoder.plan(batch, longest, maxTokens);
    const prompts = Array.from({ length: batch }, () => new Array<number>(longest).fill(0));
    if (this.#settings) await asFarAsItGoes(() => this.#hearPrompts(prompts));
    return bytes;
  }

  free(): void {
    for (const decoder of this.#decoders) decoder.free();
    for (const scorer of this.#scorers) void scorer.free();
  }

  #weights({ mixture }: Row): ArrayLike<number> & Iterable<number> {
    return mixture?.weights() ?? this.#decoders.map(() => 1 / this.#decoders.length);
  }

  /** What each model says of the tokens of the prompts after the first. */
  async #hearPrompts(prompts: readonly (readonly number[])[]): Promise<void> {
    const sequences = prompts.map((prompt) => {
      const ids = Int32Array.from(prompt);
      return [{ ids, labels: ids, group: 0, place: "" }];
    });
    const batch = collate(sequences);
    const scores = await Promise.all(this.#scorers.map((scorer) => scorer.score(batch)));
    for (const [row, { mixture }] of this.#rows.entries()) {
      for (let at = row * batch.length; at < (row + 1) * batch.length; at++) {
        if (scores[0]!.targets[at]! >= 0) mixture?.hear(scores.map(({ nll }) => -nll[at]!));
      }
    }
  }

  /** Hears the tokens that a sequence has gained: none where it has ended. */
  #hear(row: number, sequence: readonly number[]): void {
    const own = this.#rows[row]!;
    for (; own.heard < sequence.length; own.heard++)
      own.mixture?.hear(own.logs.map((logs) => logs[sequence[own.heard]!]!));
  }

  /** The mixture of what the models say, (B, V); rows that do not count are 0. */
  #mix(all: readonly Float32Array[], rows: Iterable<number>): Float32Array {
    const { outputs } = this.sizes;
    const logits = new Float32Array(this.#rows.length * outputs);
    for (const row of rows) {
      const own = this.#rows[row]!;
      own.logs = all.map((each, i) => {
        const width = this.#decoders[i]!.sizes.outputs;
        return logProbabilities(each.subarray(row * width, (row + 1) * width), outputs);
      });
      logits.set(mixed(own.logs, this.#weights(own)), row * outputs);
    }
    return logits;
  }
}
