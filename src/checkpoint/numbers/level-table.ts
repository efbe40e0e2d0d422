/** Values that codes stand for, in the order of their size: which is nearest to a number. */
import type { ScaledFormat } from "./number-format.ts";

/** Levels, ascending, each once. */
export class LevelTable {
  readonly #values: Float64Array;
  readonly #codes: Uint8Array;
  /** Largest magnitude. */
  readonly largest: number;
  /** Half a step further: what would still be rounded to it. */
  readonly overflow: number;

  constructor({ bits, levels }: Pick<ScaledFormat, "bits" | "levels">) {
    const middle = 2 ** (bits - 1);
    const all = Array.from({ length: 2 ** bits }, (_, code) => ({
      code,
      value: levels ? levels[code]! : code - middle,
    }));
    const held = new Set<number>();
    const used = all.filter(({ value }) => {
      // The least integer has no opposite; -0 is 0; codes of NaN and of infinities stand for no weight.
      if (!Number.isFinite(value) || held.has(value) || (!levels && value === -middle && bits > 1)) return false;
      held.add(value);
      return true;
    });
    used.sort((a, b) => a.value - b.value);
    this.#values = Float64Array.from(used, ({ value }) => value);
    this.#codes = Uint8Array.from(used, ({ code }) => code);
    this.largest = Math.max(Math.abs(this.#values[0]!), Math.abs(this.#values.at(-1)!));
    this.overflow = this.largest + (this.#values.at(-1)! - (this.#values.at(-2) ?? 0)) / 2;
  }

  /** Place of the last value that is not above; 0 where all are. */
  #below(x: number): number {
    let [low, high] = [0, this.#values.length - 1];
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.#values[middle]! <= x) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  /** Code of the nearest level, the even code of two that are as near. Outside of all levels, of the outermost. */
  nearest(x: number): number {
    const at = this.#below(x);
    if (at + 1 === this.#values.length) return this.#codes[at]!;
    const [below, above] = [x - this.#values[at]!, this.#values[at + 1]! - x];
    const up = above < below || (above === below && this.#codes[at]! % 2 === 1);
    return this.#codes[up ? at + 1 : at]!;
  }

  /**
   * Code of one of the two levels about x, by `unit` in [0, 1): each the likelier the nearer it is, so that the mean is
   * x. Outside of all levels, of the outermost.
   */
  either(x: number, unit: number): number {
    const at = this.#below(x);
    if (at + 1 === this.#values.length || x <= this.#values[at]!) return this.#codes[at]!;
    const share = (x - this.#values[at]!) / (this.#values[at + 1]! - this.#values[at]!);
    return this.#codes[unit < share ? at + 1 : at]!;
  }
}
