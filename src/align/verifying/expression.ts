/**
 * The value of the arithmetic in a prompt: "12+345=", "What is 3 * (4 - 1)?", "5/3 mod 97 =". Exact; a quotient modulo
 * a number is the product with the inverse.
 */
import { type Rational, rational, rationalOf } from "./rational.ts";

/** Parts of expressions. What is written otherwise ends an expression. */
const TOKEN = /\d+(?:\.\d+)?|\*\*|[-+*/^()\u2212\u00d7\u00f7\u00b7]|mod/g;
const RUN = /(?:\d+(?:\.\d+)?|\*\*|[-+*/^()\u2212\u00d7\u00f7\u00b7]|(?<![a-z])mod(?![a-z])|\s)+/gi;

/** Further brackets, larger powers and longer results than these are refused: a prompt is no program. */
const DEEPEST = 64;
const MOST_BITS = 4096;

class Unreadable extends Error {}

const SAME: Readonly<Record<string, string>> = {
  "\u2212": "-",
  "\u00d7": "*",
  "\u00b7": "*",
  "\u00f7": "/",
  "**": "^",
};

/** Reads by descent: sums of products of powers. */
class Reader {
  readonly #tokens: readonly string[];
  #at = 0;
  #depth = 0;

  constructor(tokens: readonly string[]) {
    this.#tokens = tokens;
  }

  whole(): Rational {
    let value = this.#sum();
    while (this.#take("mod")) value = modulo(value, this.#sum());
    if (this.#at < this.#tokens.length) throw new Unreadable();
    return value;
  }

  #take(...wanted: string[]): string | undefined {
    const token = this.#tokens[this.#at];
    if (token === undefined || !wanted.includes(token)) return undefined;
    this.#at++;
    return token;
  }

  #sum(): Rational {
    let value = this.#product();
    for (let sign = this.#take("+", "-"); sign !== undefined; sign = this.#take("+", "-")) {
      const right = this.#product();
      const top = right.top * value.bottom;
      value = bounded(value.top * right.bottom + (sign === "+" ? top : -top), value.bottom * right.bottom);
    }
    return value;
  }

  #product(): Rational {
    let value = this.#signed();
    for (let sign = this.#take("*", "/"); sign !== undefined; sign = this.#take("*", "/")) {
      const right = this.#signed();
      value =
        sign === "*"
          ? bounded(value.top * right.top, value.bottom * right.bottom)
          : bounded(value.top * right.bottom, value.bottom * right.top);
    }
    return value;
  }

  #signed(): Rational {
    let negative = false;
    for (let sign = this.#take("-", "+"); sign !== undefined; sign = this.#take("-", "+"))
      negative = negative !== (sign === "-");
    const value = this.#power();
    return negative ? { top: -value.top, bottom: value.bottom } : value;
  }

  #power(): Rational {
    const base = this.#atom();
    if (!this.#take("^")) return base;
    this.#deeper();
    const exponent = this.#signed(); // to the right: 2^3^2 is 2^9
    this.#depth--;
    if (exponent.bottom !== 1n) throw new Unreadable();
    const [times, size] = [Number(exponent.top), bits(base.top) + bits(base.bottom)];
    if (Math.abs(times) * size > MOST_BITS) throw new Unreadable();
    const [top, bottom] = [base.top ** BigInt(Math.abs(times)), base.bottom ** BigInt(Math.abs(times))];
    return times < 0 ? bounded(bottom, top) : bounded(top, bottom);
  }

  #atom(): Rational {
    if (this.#take("(")) {
      this.#deeper();
      const value = this.#sum();
      if (!this.#take(")")) throw new Unreadable();
      this.#depth--;
      return value;
    }
    const token = this.#tokens[this.#at++];
    const value = token === undefined || !/^\d/.test(token) ? undefined : rationalOf(token);
    if (value === undefined) throw new Unreadable();
    return value;
  }

  #deeper(): void {
    if (++this.#depth > DEEPEST) throw new Unreadable();
  }
}

const bits = (x: bigint): number => (x < 0n ? -x : x).toString(16).length * 4;

/** A quotient; throws for one by 0 and for one that is too long. */
function bounded(top: bigint, bottom: bigint): Rational {
  if (bottom === 0n || bits(top) + bits(bottom) > 2 * MOST_BITS) throw new Unreadable();
  return rational(top, bottom);
}

/** The whole number in [0, p) that a quotient is modulo p; throws where there is none. */
function modulo({ top, bottom }: Rational, modulus: Rational): Rational {
  const p = modulus.top;
  if (modulus.bottom !== 1n || p <= 0n) throw new Unreadable();
  // Euclid's algorithm, with the factor of the bottom alone.
  let [r, next, factor, nextFactor] = [p, bottom % p, 0n, 1n];
  while (next !== 0n) {
    const quotient = r / next;
    [r, next] = [next, r - quotient * next];
    [factor, nextFactor] = [nextFactor, factor - quotient * nextFactor];
  }
  if (r !== 1n && bottom !== 1n) throw new Unreadable();
  const value = (top * (bottom === 1n ? 1n : factor)) % p;
  return { top: (value + p) % p, bottom: 1n };
}

/** The value of an expression; undefined of what is none, divides by 0 or is too large. */
export function evaluated(text: string): Rational | undefined {
  const tokens = [...text.toLowerCase().matchAll(TOKEN)].map(([token]) => SAME[token] ?? token);
  try {
    return new Reader(tokens).whole();
  } catch (error) {
    if (error instanceof Unreadable) return undefined;
    throw error;
  }
}

/**
 * The expression in a text. Undefined where there is none, and where a number stands outside it: "1+1=2, 3+4=" asks
 * for neither sum alone.
 */
export function expressionIn(text: string): string | undefined {
  const runs = [...text.matchAll(RUN)].map(([run]) => run.trim()).filter((run) => /\d/.test(run));
  const [run] = runs;
  return runs.length === 1 && /[-+*/^\u2212\u00d7\u00f7\u00b7]|mod/i.test(run!) ? run : undefined;
}
