/**
 * Python's regular expressions, as adapter configs hold them, parsed to a tree.
 *
 * Read are: literals, `.`, classes, `\d \w \s` and their opposites, groups, alternatives, quantifiers, anchors, word
 * boundaries and looking ahead. What needs backtracking or is rare (references back, atomic groups, looking behind,
 * conditions, flags) is refused by name.
 */
import { UserError } from "../../errors.ts";

/** `test` sees code points. */
export type PatternNode =
  | { readonly kind: "character"; readonly test: (code: number) => boolean }
  | { readonly kind: "sequence"; readonly items: readonly PatternNode[] }
  | { readonly kind: "choice"; readonly options: readonly PatternNode[] }
  | { readonly kind: "repeat"; readonly item: PatternNode; readonly least: number; readonly most: number }
  | { readonly kind: "place"; readonly place: "start" | "end" | "boundary" | "inside" }
  | { readonly kind: "ahead"; readonly item: PatternNode; readonly negative: boolean };

type Test = (code: number) => boolean;

const unicode = (pattern: RegExp): Test => {
  return (code) => pattern.test(String.fromCodePoint(code));
};
const not =
  (test: Test): Test =>
  (code) =>
    !test(code);

/** Python's `\w`: letters, numbers, the underscore. */
export const isWord = unicode(/[\p{L}\p{N}_]/u);
const isDigit = unicode(/\p{Nd}/u);
const isSpace = unicode(/\s/u);

const CLASSES: Readonly<Record<string, Test>> = {
  d: isDigit,
  D: not(isDigit),
  w: isWord,
  W: not(isWord),
  s: isSpace,
  S: not(isSpace),
};
const CONTROLS: Readonly<Record<string, number>> = { n: 10, t: 9, r: 13, f: 12, v: 11, a: 7 };
const PLACES = { A: "start", Z: "end", b: "boundary", B: "inside" } as const;
const LONGEST = 1000;

/** Group openings that are no plain group, with what to call them. */
const REFUSED: readonly (readonly [opening: RegExp, name: string])[] = [
  [/^\(\?<[=!]/, "looking behind"],
  [/^\(\?>/, "an atomic group"],
  [/^\(\?P=/, "a reference back"],
  [/^\(\?\(/, "a condition"],
  [/^\(\?#/, "a comment"],
  [/^\(\?[aiLmsux-]/, "flags"],
];

/** Parses a pattern. Throws UserError that says what is wrong, or which part of the syntax is not known here. */
export const parsePattern = (text: string): PatternNode => new Parser(text).whole();

class Parser {
  readonly #text: string;
  /** Code points. */
  readonly #points: readonly string[];
  #at = 0;

  constructor(text: string) {
    this.#text = text;
    this.#points = Array.from(text.slice(0, LONGEST + 1));
    if (this.#points.length > LONGEST) throw this.#error(`it is longer than ${LONGEST} characters`);
  }

  whole(): PatternNode {
    const node = this.#choice();
    if (this.#at < this.#points.length) throw this.#error("a ) closes no group");
    return node;
  }

  #error(what: string): UserError {
    const shown = this.#text.length > 60 ? `${this.#text.slice(0, 60)}…` : this.#text;
    return new UserError(
      `the pattern ${JSON.stringify(shown)} cannot be used: ${what}`,
      "write it with groups, classes, alternatives, quantifiers and (?!…) alone",
    );
  }

  get #next(): string | undefined {
    return this.#points[this.#at];
  }

  #take(wanted: string): boolean {
    if (this.#next !== wanted) return false;
    this.#at++;
    return true;
  }

  #choice(): PatternNode {
    const options = [this.#sequence()];
    while (this.#take("|")) options.push(this.#sequence());
    return options.length === 1 ? options[0]! : { kind: "choice", options };
  }

  #sequence(): PatternNode {
    const items: PatternNode[] = [];
    while (this.#next !== undefined && this.#next !== "|" && this.#next !== ")") items.push(this.#repeated());
    return items.length === 1 ? items[0]! : { kind: "sequence", items };
  }

  #repeated(): PatternNode {
    const item = this.#atom();
    const range = this.#range();
    if (range === undefined) return item;
    if (item.kind === "place") throw this.#error("a quantifier follows an anchor");
    if (this.#next === "+") throw this.#error("it has a possessive quantifier");
    this.#take("?"); // Lazy or greedy: whether the whole matches is the same.
    if (this.#range() !== undefined) throw this.#error("a quantifier follows a quantifier");
    return { kind: "repeat", item, ...range };
  }

  #range(): { least: number; most: number } | undefined {
    if (this.#take("*")) return { least: 0, most: Number.POSITIVE_INFINITY };
    if (this.#take("+")) return { least: 1, most: Number.POSITIVE_INFINITY };
    if (this.#take("?")) return { least: 0, most: 1 };
    if (this.#next !== "{") return undefined;
    const found = /^\{(\d*)(,?)(\d*)\}/.exec(this.#points.slice(this.#at, this.#at + 32).join(""));
    if (found === null || (found[1] === "" && found[2] === "")) return undefined; // a brace as such
    const [all, low = "", comma, high = ""] = found;
    const least = Number(low);
    const most = comma === "" ? least : high === "" ? Number.POSITIVE_INFINITY : Number(high);
    if (most < least) throw this.#error(`${all} counts from more to less`);
    this.#at += all.length;
    return { least, most };
  }

  #atom(): PatternNode {
    const point = this.#points[this.#at]!;
    if (point === "(") return this.#group();
    if (point === "[") return { kind: "character", test: this.#set() };
    if (point === "\\") return this.#escape();
    if ("*+?".includes(point)) throw this.#error(`nothing stands before ${point}`);
    this.#at++;
    if (point === ".") return { kind: "character", test: (code) => code !== 10 };
    if (point === "^") return { kind: "place", place: "start" };
    if (point === "$") return { kind: "place", place: "end" };
    return literal(point.codePointAt(0)!);
  }

  #group(): PatternNode {
    const opening = this.#points.slice(this.#at, this.#at + 4).join("");
    for (const [start, name] of REFUSED) if (start.test(opening)) throw this.#error(`it has ${name}`);
    const ahead = /^\(\?[=!]/.test(opening);
    if (ahead) this.#at += 3;
    else if (opening.startsWith("(?:")) this.#at += 3;
    else if (opening.startsWith("(?P<")) {
      const end = this.#points.indexOf(">", this.#at);
      if (end < 0) throw this.#error("the name of a group has no end");
      this.#at = end + 1;
    } else if (opening.startsWith("(?")) throw this.#error(`it has the unknown group ${opening}`);
    else this.#at++;
    const item = this.#choice();
    if (!this.#take(")")) throw this.#error("a group has no end");
    return ahead ? { kind: "ahead", item, negative: opening[2] === "!" } : item;
  }

  #escape(): PatternNode {
    this.#at++;
    const point = this.#next;
    if (point === undefined) throw this.#error("it ends in a backslash");
    if (Object.hasOwn(PLACES, point)) {
      this.#at++;
      return { kind: "place", place: PLACES[point as keyof typeof PLACES] };
    }
    if (/[1-9]/.test(point)) throw this.#error("it has a reference back");
    return { kind: "character", test: this.#escaped().test };
  }

  /** What a backslash makes of the character after it; `code` where it stands for one character. */
  #escaped(): { test: Test; code?: number } {
    const point = this.#points[this.#at++];
    if (point === undefined) throw this.#error("it ends in a backslash");
    if (Object.hasOwn(CLASSES, point)) return { test: CLASSES[point]! };
    const digits = { x: 2, u: 4, U: 8 }[point];
    let code = Object.hasOwn(CONTROLS, point) ? CONTROLS[point]! : point.codePointAt(0)!;
    if (digits !== undefined) {
      const hex = this.#points.slice(this.#at, this.#at + digits).join("");
      code = /^[0-9a-fA-F]+$/.test(hex) && hex.length === digits ? Number.parseInt(hex, 16) : Number.POSITIVE_INFINITY;
      if (code > 0x10ffff) throw this.#error(`\\${point}${hex} is no character`);
      this.#at += digits;
    } else if (/[a-zA-Z0-9]/.test(point) && !Object.hasOwn(CONTROLS, point)) {
      throw this.#error(`\\${point} is unknown`);
    }
    return { test: (other) => other === code, code };
  }

  #set(): Test {
    this.#at++;
    const negative = this.#take("^");
    const tests: Test[] = [];
    for (let first = true; first || this.#next !== "]"; first = false) {
      if (this.#next === undefined) throw this.#error("a [ has no ]");
      const low = this.#member();
      const isRange = this.#next === "-" && this.#points[this.#at + 1] !== "]" && this.#at + 1 < this.#points.length;
      if (!isRange) {
        tests.push(low.test);
        continue;
      }
      this.#at++;
      const high = this.#member();
      const [from, to] = [low.code, high.code];
      if (from === undefined || to === undefined || to < from) throw this.#error("a range in [ ] has no order");
      tests.push((code) => code >= from && code <= to);
    }
    this.#at++;
    const any: Test = (code) => tests.some((test) => test(code));
    return negative ? not(any) : any;
  }

  #member(): { test: Test; code?: number } {
    const point = this.#points[this.#at++]!;
    if (point === "\\") {
      if (this.#next === "b") {
        this.#at++;
        return { test: (other) => other === 8, code: 8 };
      }
      return this.#escaped();
    }
    const code = point.codePointAt(0)!;
    return { test: (other) => other === code, code };
  }
}

const literal = (code: number): PatternNode => ({ kind: "character", test: (other) => other === code });
