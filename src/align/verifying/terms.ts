/**
 * The sums that `--reward` holds: "exact", "0.1*format:<a>.*</a>", "number + 0.5*overlong:512,64".
 *
 *   sum   = term { (" + " | " - ") term }
 *   term  = [sign] [weight "*"] name [":" argument | "(" argument ")"]
 *
 * An argument in brackets ends at the bracket that closes it. Behind a colon it ends at the next sign that stands
 * between spaces, unless the verifier reads it as a text of its own (an expression, a command): then it goes to the
 * end, and a sum that seems to go on behind it is refused as ambiguous.
 */
import { UserError } from "../../errors.ts";
import { show } from "../../json.ts";
import { checkMethodName, loadMethod, methodNames } from "../../method/registry.ts";
import type { VerifierMethod } from "./contract.ts";

/** A term as it is written. */
export interface Term {
  readonly weight: number;
  readonly method: VerifierMethod;
  /** What stands behind the name; "" where nothing does. */
  readonly argument: string;
}

const HEAD = /\s*([-+]\s*)?(?:([^\s*:()+]*)\s*\*\s*)?([A-Za-z][\w-]*)?/y;
const WEIGHT = /^(\d+\.?\d*|\.\d+)(e[-+]?\d+)?$/i;

/** Throws UserError that quotes the text and says where it goes wrong. */
export async function parseTerms(text: string, flag = "--reward"): Promise<Term[]> {
  const terms: Term[] = [];
  let at = 0;
  do {
    const { term, end } = await termAt(text, at, { flag, isFirst: terms.length === 0 });
    terms.push(term);
    at = end;
  } while (text.slice(at).trim() !== "");
  return terms;
}

interface Asked {
  readonly flag: string;
  readonly isFirst: boolean;
}

async function termAt(text: string, from: number, { flag, isFirst }: Asked): Promise<{ term: Term; end: number }> {
  const wrong = (at: number, problem: string, hint: string) =>
    new UserError(`${flag} ${show(text)}: ${problem} at character ${at + 1}`, hint);
  HEAD.lastIndex = from;
  const [head = "", sign, weight, name] = HEAD.exec(text) ?? [];
  const start = from + (/^\s*/.exec(text.slice(from))?.[0].length ?? 0);
  if (sign === undefined && !isFirst) throw wrong(start, "expected + or -", "terms of a sum: exact + 0.1*format");
  if (weight !== undefined && !WEIGHT.test(weight))
    throw wrong(
      start,
      `expected a weight before * but found ${show(weight)}`,
      "a weight is a number, 0.1*format; a minus between terms has spaces around it",
    );
  if (name === undefined) {
    const found = text.slice(from + head.length).trim();
    const advice = /^[\d.]/.test(found) ? "a weight and a name have a * between them: 0.1*format" : `one of ${names()}`;
    throw wrong(
      from + head.length,
      `expected the name of a verifier but found ${found === "" ? "the end" : show(found)}`,
      advice,
    );
  }
  checkMethodName("verifier", name, `${flag} ${show(text)}`);
  const method = await loadMethod("verifier", name);
  const { argument, end } = argumentAt(text, from + head.length, method, wrong);
  const value = (weight === undefined ? 1 : Number(weight)) * (sign?.startsWith("-") ? -1 : 1);
  return { term: { weight: value, method, argument }, end };
}

const names = (): string => methodNames("verifier").join(", ");

type Wrong = (at: number, problem: string, hint: string) => UserError;

function argumentAt(text: string, at: number, method: VerifierMethod, wrong: Wrong): { argument: string; end: number } {
  const opener = text[at];
  if (opener === "(") {
    const end = closing(text, at);
    if (end < 0) throw wrong(at, "a bracket is not closed", `or write the argument behind a colon: ${method.name}:...`);
    return { argument: text.slice(at + 1, end), end: end + 1 };
  }
  if (opener !== ":") return { argument: "", end: at };
  const rest = text.slice(at + 1);
  if (method.argument === undefined) {
    const sign = /\s[-+]\s/.exec(rest)?.index ?? rest.length;
    return { argument: rest.slice(0, sign), end: at + 1 + sign };
  }
  const next = new RegExp(
    `\\s[-+]\\s+(?:[\\d.]+\\*)?(?:${methodNames("verifier").join("|")})(?=\\s*$|[:(]|\\s+[-+]\\s)`,
  ).exec(rest);
  if (next)
    throw wrong(
      at + 1 + next.index,
      `${method.name} takes all that follows, so ${show(next[0].trim())} may be part of it or a term`,
      `give each its own --reward, or put the argument in brackets: ${method.name}(...)`,
    );
  return { argument: rest, end: text.length };
}

/** The place of the bracket that closes the one at `from`; those behind a backslash do not count. -1 without. */
function closing(text: string, from: number): number {
  let depth = 0;
  for (let i = from; i < text.length; i++) {
    if (text[i] === "\\") i++;
    else if (text[i] === "(") depth++;
    else if (text[i] === ")" && --depth === 0) return i;
  }
  return -1;
}
