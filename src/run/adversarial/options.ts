/** Options of projected gradient ascent on a classifier's inputs, wherever it is asked for. */
import { UserError } from "../../errors.ts";
import type { Options, Values } from "../../method/options.ts";
import type { Attack } from "./adversary.ts";

export const PGD = {
  pgd_norm: { type: "'linf' | 'l2'", default: "linf", help: "norm of the ball that an input stays in" },
  pgd_epsilon: {
    type: "number >= 0",
    help: "radius of the ball, in units of the inputs; a tenth of their range when left out, for l2 a half of it",
    value: "R",
  },
  pgd_steps: { type: "number.integer >= 1", default: 10, help: "gradient steps of an input", value: "N" },
  pgd_step_size: {
    type: "number > 0",
    help: "length of a step, in units of the inputs; 2.5 radii over all steps when left out",
    value: "S",
  },
  pgd_random_start: {
    type: "boolean",
    default: true,
    help: "begin at a random place of the ball; --no-pgd-random-start begins at the input",
  },
  pgd_range: {
    type: "number[]",
    help: "least and largest value that an input may take, 0,1; those of the data when left out",
    value: "LO,HI",
  },
} as const satisfies Options;

const needs = "adversarial";

/** Of scripts that train: whether inputs are moved, how many of them, and how. */
export const ADVERSARIAL = {
  adversarial: {
    type: "boolean",
    default: false,
    help: "train on inputs that are moved against the model, anew at every step: numbers of rows, or embeddings of texts",
  },
  adversarial_share: {
    type: "0 < number <= 1",
    default: 1,
    needs,
    help: "share of the rows of a batch that are moved",
    value: "F",
  },
  pgd_norm: { ...PGD.pgd_norm, needs },
  pgd_epsilon: { ...PGD.pgd_epsilon, needs },
  pgd_steps: { ...PGD.pgd_steps, needs },
  pgd_step_size: { ...PGD.pgd_step_size, needs },
  pgd_random_start: { ...PGD.pgd_random_start, needs },
  pgd_range: { ...PGD.pgd_range, needs },
} as const satisfies Options;

/** Throws UserError for a range that is not one. `flag` names the option. */
export function checkRange(range: readonly number[] | undefined, flag: string): void {
  if (range && (range.length !== 2 || !(range[0]! < range[1]!)))
    throw new UserError(`${flag} takes the least and the largest value, found ${range.join(",")}`, `${flag} 0,1`);
}

/** Throws UserError for a range that is not one. */
export const checkPgd = ({ pgd_range: range }: Pick<Values<typeof PGD>, "pgd_range">): void =>
  checkRange(range, "--pgd-range");

type Numbers = Iterable<{ readonly x: Float32Array; readonly place: string }>;

/** Least and largest value of inputs. Throws UserError for an input that is outside of the range that `flag` gave. */
export function rangeOf(
  rows: Numbers,
  given: readonly number[] | undefined,
  flag: string,
): readonly [low: number, high: number] {
  let [low, high] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  for (const { x, place } of rows) {
    const [least, most] = [x.reduce((a, b) => Math.min(a, b)), x.reduce((a, b) => Math.max(a, b))];
    // Inputs are held in f32, and so is the range.
    if (given && (least < Math.fround(given[0]!) || most > Math.fround(given[1]!)))
      throw new UserError(
        `${place}: an input of ${least < given[0]! ? least : most} is outside ${flag} ${given.join(",")}`,
        `widen ${flag}, or leave it out`,
      );
    low = Math.min(low, least);
    high = Math.max(high, most);
  }
  return given ? [given[0]!, given[1]!] : [low, high];
}

/** The attack on rows of numbers that the options ask for. Throws UserError for an input outside of --pgd-range. */
export function attackOf(values: Values<typeof PGD>, rows: Numbers, seed: number): Attack {
  const range = rangeOf(rows, values.pgd_range, "--pgd-range");
  const epsilon = values.pgd_epsilon ?? (values.pgd_norm === "l2" ? 0.5 : 0.1) * (range[1] - range[0]);
  return {
    norm: values.pgd_norm,
    epsilon,
    steps: values.pgd_steps,
    stepSize: values.pgd_step_size ?? (2.5 * epsilon) / values.pgd_steps,
    randomStart: values.pgd_random_start,
    range,
    seed,
  };
}
