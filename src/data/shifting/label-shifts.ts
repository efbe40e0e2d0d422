/**
 * Labels whose meaning changes along a stream. "Need is All You Need: Homeostatic Neural Networks Adapt to Concept
 * Shift", 2022.
 */
import { Random } from "../random.ts";

export interface LabelShifts {
  /** Rows of the first stretch. */
  readonly every: number;
  readonly classes: number;
  readonly shift: "swap" | "permute";
  /** How many times as long as the one before every further stretch is. */
  readonly growth: number;
  readonly seed: number;
}

/** Gives the label that a row's own stands for now; to be asked once a row, in order. */
export class ShiftedLabels {
  readonly #given: LabelShifts;
  readonly #means: number[];
  #left: number;
  #length: number;
  /** Shifts so far. */
  shifts = 0;

  constructor(given: LabelShifts) {
    this.#given = given;
    this.#means = Array.from({ length: given.classes }, (_, c) => c);
    this.#length = given.every;
    this.#left = given.every;
  }

  #shift(): void {
    const { classes, shift, seed, growth } = this.#given;
    const random = new Random(seed, "label shift", ++this.shifts);
    const all = this.#means;
    const swap = (a: number, b: number) => {
      [all[a], all[b]] = [all[b]!, all[a]!];
    };
    const below = (n: number) => Math.floor(n * random.uniform());
    if (shift === "swap") {
      const first = below(classes);
      swap(first, (first + 1 + below(classes - 1)) % classes);
    } else for (let c = classes - 1; c > 0; c--) swap(c, below(c + 1));
    this.#length *= growth;
    this.#left += Math.max(1, this.#length);
  }

  next(label: number): number {
    while (this.#left < 1) this.#shift();
    this.#left--;
    return this.#means[label]!;
  }
}
