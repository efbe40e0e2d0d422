/** Efforts of the prompts of rollouts: which share of its usual length an answer may have. */
import { UserError } from "../../errors.ts";
import { keyedUnits } from "../../keyed-random.ts";
import type { Options, Values } from "../../method/options.ts";
import { effortText, withEffort } from "../../run/generating/effort.ts";
import type { Effort } from "../verifying/contract.ts";

export const EFFORTS = {
  effort_range: {
    type: "number[]",
    value: "LOW,HIGH",
    help: "ask every prompt for a share of its usual length, drawn between the two; --reward effort keeps to it",
  },
  avg_over: {
    type: "'prompt' | 'prompt-r'",
    default: "prompt",
    needs: "effort_range",
    help: "the usual length: a running mean of all answers to the prompt, or the mean of those to this share",
  },
  effort_rate: {
    type: "0 < number <= 1",
    default: 0.3,
    needs: "effort_range",
    help: "what the newest answers count in the running mean",
    value: "X",
  },
  effort_floor: {
    type: "number.integer >= 1",
    default: 32,
    needs: "effort_range",
    help: "least usual length",
    value: "TOKENS",
  },
} as const satisfies Options;

/** Usual lengths by the prompt's position among all. */
export type UsualLengths = Readonly<Record<string, number>>;

export class Efforts {
  readonly #values: Values<typeof EFFORTS>;
  readonly #ends: readonly [number, number];
  readonly #seed: number;
  readonly #encode: (text: string) => ArrayLike<number>;
  /** Most tokens of a field. */
  readonly tokens: number;

  /** Throws UserError for a range that is none. */
  constructor(values: Values<typeof EFFORTS>, seed: number, encode: (text: string) => ArrayLike<number>) {
    const [low = 0, high = 0, ...more] = values.effort_range!;
    if (more.length > 0 || !(low >= 0.01 && low <= high && high <= 9.99))
      throw new UserError(
        `--effort-range ${values.effort_range} is no range of shares`,
        "give two from 0.01 to 9.99, the lower one first, such as 0.1,1",
      );
    this.#values = values;
    this.#ends = [Math.round(100 * low), Math.round(100 * high)];
    this.#seed = seed;
    this.#encode = encode;
    const [from, to] = this.#ends;
    this.tokens = Math.max(
      ...Array.from({ length: to - from + 1 }, (_, i) => encode(effortText((from + i) / 100)).length),
    );
  }

  /** The share that a prompt is asked for in an epoch, in hundredths. */
  draw({ prompt, epoch }: { readonly prompt: number; readonly epoch: number }): number {
    const [low, high] = this.#ends;
    const unit = keyedUnits(this.#seed, `effort ${epoch} ${prompt}`)();
    return (low + Math.min(high - low, Math.floor(unit * (high - low + 1)))) / 100;
  }

  /** A prompt that asks for a share. */
  asked<P extends { readonly ids: readonly number[]; readonly text: string }>(prompt: P, share: number): P {
    return withEffort(prompt, share, this.#encode);
  }

  /** The usual length after answers of these lengths, from that before them. */
  usual(before: number | undefined, lengths: readonly number[]): number {
    const mean = lengths.reduce((a, b) => a + b, 0) / lengths.length;
    const { avg_over: over, effort_rate: rate } = this.#values;
    return before === undefined || over === "prompt-r" ? mean : before + rate * (mean - before);
  }

  /** What a share allows; the largest one of the range has no limit. */
  effort(share: number, usual: number): Effort {
    const isFull = Math.round(100 * share) >= this.#ends[1];
    return { share, most: isFull ? Number.POSITIVE_INFINITY : share * Math.max(this.#values.effort_floor, usual) };
  }
}
