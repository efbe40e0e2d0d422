/**
 * Tells from losses that the data has changed: a rise far beyond how they vary.
 *
 *   s <- beta l + (1 - beta) s;  it rose where s > mean + sigmas max(deviation, floor) of the last `window` losses l
 *
 * Zhu et al., TAME, 2022, https://arxiv.org/abs/2210.03869. Nothing is said before the window is full;
 * a loss that rose is taken in by neither s nor the window.
 */
import { UserError } from "../../errors.ts";
import type { Json } from "../../json.ts";
import type { Options, Values } from "../../method/options.ts";

/** How a rise is told. */
export const SHIFT = {
  shift_window: {
    type: "number.integer >= 2",
    default: 100,
    value: "N",
    help: "losses that a rise is measured against; none is told before there are as many",
  },
  shift_smoothing: {
    type: "0 < number <= 1",
    default: 0.2,
    value: "BETA",
    help: "share of the newest loss in the smoothed one that is compared",
  },
  shift_sigmas: { type: "number > 0", default: 3, value: "X", help: "deviations of the window that a rise exceeds" },
  shift_floor: { type: "number >= 0", default: 0.005, value: "X", help: "least deviation that is reckoned with" },
} as const satisfies Options;

export type ShiftValues = Values<typeof SHIFT>;

export class ShiftDetector {
  readonly #values: ShiftValues;
  #window: number[] = [];
  #smoothed: number | undefined;

  constructor(values: ShiftValues) {
    this.#values = values;
  }

  /** What a smoothed loss must not exceed; infinite before the window is full. */
  get threshold(): number {
    const { shift_window: size, shift_sigmas: sigmas, shift_floor: floor } = this.#values;
    if (this.#window.length < size) return Number.POSITIVE_INFINITY;
    const mean = this.#window.reduce((sum, loss) => sum + loss / size, 0);
    const variance = this.#window.reduce((sum, loss) => sum + (loss - mean) ** 2 / size, 0);
    return mean + sigmas * Math.max(Math.sqrt(variance), floor);
  }

  /** The smoothed loss as it would be with one more. */
  smoothed(loss: number): number {
    const beta = this.#values.shift_smoothing;
    return this.#smoothed === undefined ? loss : beta * loss + (1 - beta) * this.#smoothed;
  }

  /** Whether a loss is a rise. Takes it in where it is none. */
  rises(loss: number): boolean {
    if (this.smoothed(loss) > this.threshold) return true;
    this.#smoothed = this.smoothed(loss);
    this.#window.push(loss);
    if (this.#window.length > this.#values.shift_window) this.#window.shift();
    return false;
  }

  /** Begins anew: the next losses are what later ones are measured against. */
  reset(): void {
    this.#window = [];
    this.#smoothed = undefined;
  }

  state(): Json {
    return { window: [...this.#window], smoothed: this.#smoothed ?? null };
  }

  /** Throws UserError for what is no state of a detector. */
  load(state: Json): void {
    const { window, smoothed } = (state ?? {}) as { window?: unknown; smoothed?: unknown };
    const isLoss = (value: unknown): value is number => typeof value === "number";
    if (!Array.isArray(window) || !window.every(isLoss) || !(smoothed === null || isLoss(smoothed)))
      throw new UserError(
        "the saved losses before a shift cannot be read",
        "remove the state, and train from the start",
      );
    this.#window = window;
    this.#smoothed = smoothed ?? undefined;
  }
}
