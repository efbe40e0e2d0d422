/**
 * Rollouts: several sampled answers to each of many prompts, with the log-probability of every token.
 *
 * A prompt is read once for all of its answers. Every draw is a function of (seed, key of the prompt, number of the
 * answer, place), so that neither batching nor order changes an answer. The model writes as it is now: one that is
 * trained between two rollouts needs no copy. Tokens are chosen on the host, in f64, from logits that are read back.
 */
import type { Tokenizer } from "../../data/tokenizer.ts";
import { keyedUnits } from "../../keyed-random.ts";
import type { Model } from "../../model/model.ts";
import { Answer } from "./answer-text.ts";
import { Generator } from "./generate.ts";
import { GroupDecoder } from "./group-decoder.ts";
import { GREEDY } from "./sampling.ts";

export interface RolloutPrompt {
  readonly ids: readonly number[];
  /** Distinguishes it from all other prompts of the seed. */
  readonly key: string;
  /** What messages call it: "rows.jsonl:3". */
  readonly name: string;
}

export interface RolloutOptions {
  /** Answers to each prompt. */
  readonly group: number;
  /** 0: the most likely token. */
  readonly temperature: number;
  /** Temperature of a token from the entropy before it at `temperature`, nats; that itself when left out. */
  readonly heat?: ((entropy: number) => number) | undefined;
  /** Most tokens of an answer, the token that ends it among them. */
  readonly maxTokens: number;
  /** Tokens that end an answer, and are a part of it. */
  readonly ends: readonly number[];
  /** Tokens of which every answer begins with one, all alike likely; as the model likes when left out. */
  readonly openings?: readonly number[];
  /** Texts that end an answer. */
  readonly stops: readonly string[];
  readonly seed: number;
  /** Rows that are decoded at once; all when left out. Whole groups. */
  readonly rows?: number;
  readonly signal?: AbortSignal;
}

/** One answer. */
export interface Rollout {
  /** Its tokens, with the one that ended it. */
  readonly ids: readonly number[];
  /** log p of each of them at the temperature that it was sampled at; at 1 where that is 0. */
  readonly logProbs: readonly number[];
  /** Without special tokens, and up to the first stop text; empty without a tokenizer. */
  readonly text: string;
  /** Whether it was cut by the most tokens or the model's positions. */
  readonly truncated: boolean;
}

/** log softmax(logits / temperature) at one token, in f64. */
export function logProbability(logits: Float32Array, id: number, temperature: number): number {
  const t = temperature > 0 ? temperature : 1;
  let most = Number.NEGATIVE_INFINITY;
  for (const x of logits) if (x > most) most = x;
  let sum = 0;
  for (const x of logits) sum += Math.exp((x - most) / t);
  return (logits[id]! - most) / t - Math.log(sum);
}

/** Entropy of softmax(logits / temperature), nats, in f64. */
export function entropyOf(logits: Float32Array, temperature: number): number {
  let most = Number.NEGATIVE_INFINITY;
  for (const x of logits) if (x > most) most = x;
  let [sum, weighed] = [0, 0];
  for (const x of logits) {
    const d = (x - most) / temperature;
    const e = Math.exp(d);
    sum += e;
    if (e > 0) weighed += e * d;
  }
  return Math.log(sum) - weighed / sum;
}

/** One of several ids, all alike likely. */
const drawn = (ids: readonly number[], seed: number, key: string): number =>
  ids[Math.min(ids.length - 1, Math.floor(keyedUnits(seed, key)() * ids.length))]!;

/**
 * Answers of one model.
 *
 *   const rollouts = new Rollouts(model, tokenizer);
 *   const answers = await rollouts.sample(prompts, { group: 8, temperature: 1, maxTokens: 32, ... });
 *   answers[8]; // the first answer to the second prompt
 *   rollouts.free();
 */
export class Rollouts {
  readonly #model: Model;
  readonly #tokenizer: Tokenizer | undefined;
  readonly #generators = new Map<number, Generator>();

  constructor(model: Model, tokenizer: Tokenizer | undefined) {
    this.#model = model;
    this.#tokenizer = tokenizer;
  }

  #generator(group: number): Generator {
    const known = this.#generators.get(group);
    if (known) return known;
    const made = new Generator(group === 1 ? this.#model : new GroupDecoder(this.#model, group));
    this.#generators.set(group, made);
    return made;
  }

  /** `group` answers to each prompt, one prompt after the other. Throws UserError where logits are not finite. */
  async sample(prompts: readonly RolloutPrompt[], options: RolloutOptions): Promise<Rollout[]> {
    const { group, rows = prompts.length * group } = options;
    const atOnce = Math.max(1, Math.floor(rows / group));
    const answers: Rollout[] = [];
    for (let from = 0; from < prompts.length; from += atOnce)
      answers.push(...(await this.#answers(prompts.slice(from, from + atOnce), options)));
    return answers;
  }

  async #answers(prompts: readonly RolloutPrompt[], options: RolloutOptions): Promise<Rollout[]> {
    const { group, temperature, maxTokens, ends, stops, seed, signal, openings, heat } = options;
    const rows = prompts.flatMap((prompt) => Array.from({ length: group }, (_, sample) => ({ ...prompt, sample })));
    const first = openings && rows.map(({ key, sample }) => drawn(openings, seed, `opening ${key} ${sample}`));
    const warmth = heat && ((logits: Float32Array) => heat(entropyOf(logits, temperature)));
    const writing = rows.map(() => ({
      ids: [] as number[],
      logProbs: [] as number[],
      answer: this.#tokenizer && new Answer(this.#tokenizer, stops),
      ended: false,
    }));
    const made = this.#generator(group).generate(
      rows.map(({ ids }) => ids),
      {
        ...{ ...GREEDY, temperature, seed, maxTokens, stop: ends },
        keys: rows.map(({ key, sample }) => `rollout ${key} ${sample}`),
        names: rows.map(({ name }) => name),
        ...(signal ? { signal } : {}),
        ...(warmth ? { heat: warmth } : {}),
        ...(first ? { forced: (row: number, place: number) => (place === 1 ? first[row] : undefined) } : {}),
        ends(row, id) {
          const { answer } = writing[row]!;
          answer?.push(id);
          return answer?.stopped ?? false;
        },
      },
    );
    for await (const { row, id, chosen, logits } of made) {
      const own = writing[row]!;
      own.ids.push(chosen);
      const isGiven = openings && own.logProbs.length === 0;
      own.logProbs.push(
        isGiven ? -Math.log(openings.length) : logProbability(logits, chosen, warmth?.(logits) ?? temperature),
      );
      own.ended ||= id < 0 || own.answer?.stopped === true;
    }
    signal?.throwIfAborted();
    return writing.map(({ ids, logProbs, answer, ended }) => {
      answer?.end();
      return { ids, logProbs, text: answer?.text ?? "", truncated: !ended };
    });
  }

  /** Takes the memory for rollouts of so many prompts, and runs nothing. `longest` is the longest one in tokens. */
  async plan(
    prompts: number,
    longest: number,
    { group, maxTokens, rows = prompts * group }: Pick<RolloutOptions, "group" | "maxTokens" | "rows">,
  ): Promise<void> {
    const atOnce = Math.min(prompts, Math.max(1, Math.floor(rows / group)));
    await this.#generator(group).plan(atOnce * group, longest, maxTokens);
  }

  free(): void {
    for (const generator of this.#generators.values()) generator.free();
    this.#generators.clear();
  }
}
