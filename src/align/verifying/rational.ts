/**
 * Numbers as people write them, exactly: quotients of whole numbers, so that 0.1 + 0.2 is 0.3 and long sums keep every
 * digit.
 */

export interface Rational {
  readonly top: bigint;
  /** Above 0. */
  readonly bottom: bigint;
}

/** Longer numbers are no numbers: their arithmetic would take too long. */
const MOST_DIGITS = 400;

/**
 * A sign counts where no number, letter or bracket stands before it, so that 12-5 holds 5. Commas group three digits.
 */
const NUMBER =
  /(?:(?<![\w).])[-+\u2212])?(?:(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?|(?<!\d)\.\d+)(?:[eE][-+]?\d{1,3}(?!\w))?/g;

/** The quotient in lowest terms. */
export function rational(top: bigint, bottom: bigint): Rational {
  const sign = bottom < 0n ? -1n : 1n;
  let [a, b] = [top < 0n ? -top : top, bottom * sign];
  while (b !== 0n) [a, b] = [b, a % b];
  return a === 0n ? { top: 0n, bottom: 1n } : { top: (top * sign) / a, bottom: (bottom * sign) / a };
}

/** A number as it is written; undefined of one of too many digits. */
export function rationalOf(text: string): Rational | undefined {
  const [mantissa = "", exponent = "0"] = text.replaceAll(",", "").replace("\u2212", "-").toLowerCase().split("e");
  const [whole = "", fraction = ""] = mantissa.split(".");
  if (whole.length + fraction.length > MOST_DIGITS || Math.abs(Number(exponent)) > MOST_DIGITS) return undefined;
  const digits = BigInt(`${whole.replace(/^[-+]/, "")}${fraction}`);
  const power = Number(exponent) - fraction.length;
  const value = whole.startsWith("-") ? -digits : digits;
  return power >= 0 ? rational(value * 10n ** BigInt(power), 1n) : rational(value, 10n ** BigInt(-power));
}

/** The numbers in a text, in order. */
export const numbersIn = (text: string): Rational[] =>
  [...text.matchAll(NUMBER)].map(([found]) => rationalOf(found)).filter((found) => found !== undefined);

const absolute = (x: bigint): bigint => (x < 0n ? -x : x);

/** The option of what `near` allows. */
export const TOLERANCE = {
  type: "0 <= number < 1",
  default: 0,
  help: "difference allowed, in parts of the right number or of 1",
} as const;

/** Whether two numbers differ by no more than `tolerance` times the second one, or times 1 where that is smaller. */
export function near(found: Rational, wanted: Rational, tolerance: number): boolean {
  const gap = absolute(found.top * wanted.bottom - wanted.top * found.bottom);
  if (gap === 0n || tolerance === 0) return gap === 0n;
  const bottom = found.bottom * wanted.bottom;
  const size = absolute(wanted.top) > wanted.bottom ? absolute(wanted.top) * found.bottom : bottom;
  const allowed = rationalOf(String(tolerance))!;
  return gap * allowed.bottom <= size * allowed.top;
}
