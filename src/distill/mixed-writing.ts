/**
 * Answers that a student and its teacher write together: every token is drawn from `alpha` of the teacher's
 * distribution and the rest of the student's, and both say how likely they find it. Gu et al., ICLR 2024,
 * https://arxiv.org/abs/2306.08543
 */
import type { Model } from "../model/model.ts";
import { logProbabilities } from "../run/combining/log-probabilities.ts";
import { sharedOutputs } from "../run/combining/rule.ts";
import { Decoder } from "../run/generating/decoder.ts";
import { Generator } from "../run/generating/generate.ts";
import type { LogitSource, ReadOptions } from "../run/generating/logit-source.ts";
import { GREEDY } from "../run/generating/sampling.ts";

/** A token that was drawn: log-probabilities, in nats. */
export interface Drawn {
  readonly id: number;
  /** Of the student, at temperature 1. */
  readonly own: number;
  /** Of the teacher, at temperature 1. */
  readonly teacher: number;
  /** Of what it was drawn from. */
  readonly drawn: number;
}

/** The logarithm of the mixture, at a temperature; only its outputs that both models have. */
export class MixedSource implements LogitSource {
  readonly sizes: LogitSource["sizes"];
  readonly #decoders: readonly [student: Decoder, teacher: Decoder];
  readonly #shares: readonly [student: number, teacher: number];
  readonly #temperature: number;
  /** What each said last, (B, its outputs). */
  #said: readonly Float32Array[] = [];

  constructor(student: Model, teacher: Model, { alpha, temperature }: { alpha: number; temperature: number }) {
    this.#decoders = [new Decoder(student, "the student"), new Decoder(teacher, "the teacher")];
    this.#shares = [1 - alpha, alpha];
    this.#temperature = temperature;
    this.sizes = {
      maxPositions: Math.min(student.sizes.maxPositions, teacher.sizes.maxPositions),
      outputs: sharedOutputs([student, teacher]),
    };
  }

  async read(prompts: readonly (readonly number[])[], options: ReadOptions): Promise<Float32Array> {
    await this.#ask((decoder) => decoder.read(prompts, options));
    return this.#mixed(prompts.keys(), prompts.length);
  }

  async next(sequences: readonly (readonly number[])[], running: ReadonlySet<number>): Promise<Float32Array> {
    await this.#ask((decoder) => decoder.next(sequences, running));
    return this.#mixed(running, sequences.length);
  }

  async plan(batch: number, longest: number, maxTokens: number): Promise<number> {
    const [student, teacher] = this.#decoders;
    return (await student.plan(batch, longest, maxTokens)) + (await teacher.plan(batch, longest, maxTokens));
  }

  /** What is said of a token of a row, where `logits` are what it was drawn from. */
  of(row: number, id: number, logits: Float32Array): Drawn {
    const [own, teacher] = this.#decoders.map((_, k) => logProbabilities(this.#logits(k, row))[id]!);
    return { id, own: own!, teacher: teacher!, drawn: logProbabilities(logits)[id]! };
  }

  free(): void {
    for (const decoder of this.#decoders) decoder.free();
  }

  async #ask(run: (decoder: Decoder) => Promise<Float32Array>): Promise<void> {
    const said: Float32Array[] = [];
    for (const decoder of this.#decoders) said.push(await run(decoder));
    this.#said = said;
  }

  #logits(model: number, row: number): Float32Array {
    const width = this.#decoders[model]!.sizes.outputs;
    return this.#said[model]!.subarray(row * width, row * width + this.sizes.outputs);
  }

  /** (B, V); rows that do not count are 0. */
  #mixed(rows: Iterable<number>, count: number): Float32Array {
    const { outputs } = this.sizes;
    const all = new Float32Array(count * outputs);
    for (const row of rows) {
      const mixture = new Float64Array(outputs);
      for (const [k, share] of this.#shares.entries()) {
        if (share === 0) continue;
        const logs = logProbabilities(this.#logits(k, row).map((x) => x / this.#temperature));
        for (let id = 0; id < outputs; id++) mixture[id]! += share * Math.exp(logs[id]!);
      }
      all.set(mixture.map(Math.log), row * outputs);
    }
    return all;
  }
}

/** How answers are written. */
export interface MixedWriting {
  readonly keys: readonly string[];
  readonly seed: number;
  readonly maxTokens: number;
  readonly stop: readonly number[];
}

/** The answers to prompts; a token of `stop` that ends one is its last. */
export async function writeMixed(
  source: MixedSource,
  prompts: readonly (readonly number[])[],
  { keys, seed, maxTokens, stop }: MixedWriting,
): Promise<Drawn[][]> {
  const answers: Drawn[][] = prompts.map(() => []);
  const options = { ...GREEDY, temperature: 1, seed, keys, maxTokens, stop };
  for await (const { row, chosen, logits } of new Generator(source).generate(prompts, options))
    answers[row]!.push(source.of(row, chosen, logits));
  return answers;
}
