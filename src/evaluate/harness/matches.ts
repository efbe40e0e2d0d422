/**
 * Filters of generated texts, and whether what is left of them is the expected text, as lm-evaluation-harness has it.
 *
 * The engine gives up on a pattern that backtracks too much, and says that nothing was found. So a row that takes far
 * longer than an honest pattern is refused, before that happens.
 */

/** Milliseconds that a row may take; an honest pattern takes microseconds. Twice, because a busy machine may pause. */
const MOST_MS = 100;

/** One step of a filter: the first text, or what a pattern finds. */
export type FilterStep =
  | { readonly kind: "take_first" }
  | { readonly kind: "regex"; readonly pattern: string; readonly group: number; readonly fallback: string };

export interface MatchOptions {
  readonly ignoreCase: boolean;
  readonly ignorePunctuation: boolean;
  readonly ignoreNumbers: boolean;
  readonly ignored: readonly string[];
}

/** A filter and a metric over what it leaves. */
export interface Matcher {
  readonly steps: readonly FilterStep[];
  readonly match: MatchOptions;
}

export interface Found {
  readonly found: string;
  readonly expected: readonly string[];
}

/**
 * 1 where a row's text is one of those expected, by matcher and row. Throws SyntaxError for a pattern that is none, and
 * Error for one that takes too long.
 */
export const matchesOf = (matchers: readonly Matcher[], rows: readonly Found[]): number[][] =>
  matchers.map(({ steps, match }) => {
    const filters = steps.map(filterOf);
    const bare = bareOf(match);
    return rows.map(({ found, expected }, i) =>
      quickly(i, () => {
        const text = bare(filters.reduce((rest, filter) => filter(rest), found));
        return expected.some((each) => bare(each) === text) ? 1 : 0;
      }),
    );
  });

function quickly(row: number, work: () => number): number {
  for (let tries = 0; tries < 2; tries++) {
    const began = performance.now();
    const value = work();
    if (performance.now() - began < MOST_MS) return value;
  }
  throw new Error(`a pattern takes too long on the answer to row ${row + 1}; write one that backtracks less`);
}

function filterOf(step: FilterStep): (text: string) => string {
  if (step.kind === "take_first") return (text) => text;
  const pattern = regexOf(step.pattern);
  return (text) => {
    const all = [...text.matchAll(pattern)];
    const match = all.at(step.group);
    if (!match) return step.fallback;
    const [whole, ...groups] = match;
    if (groups.length < 2) return ((groups.length === 0 ? whole : groups[0]) ?? "").trim();
    return groups.find((group) => group)?.trim() ?? step.fallback;
  };
}

function bareOf({ ignoreCase, ignorePunctuation, ignoreNumbers, ignored }: MatchOptions): (text: string) => string {
  const patterns = ignored.map(regexOf);
  return (text) => {
    let bare = patterns.reduce((rest, pattern) => rest.replaceAll(pattern, ""), text);
    if (ignoreCase) bare = bare.toLowerCase();
    if (ignorePunctuation) bare = bare.replaceAll(/[!-/:-@[-`{-~]/g, "");
    return ignoreNumbers ? bare.replaceAll(/[0-9]/g, "") : bare;
  };
}

/** The ends of the text, whatever the flags. */
const ENDS: Readonly<Record<string, string>> = { "\\Z": "(?![\\s\\S])", "\\A": "(?<![\\s\\S])" };

/** A pattern of Python's syntax as JavaScript's, where they differ: named groups, ends of the text, leading flags. */
export function regexOf(source: string): RegExp {
  const [, flags = "", rest = source] = /^\(\?([ims]+)\)(.*)$/s.exec(source) ?? [];
  const pattern = rest.replaceAll("(?P<", "(?<").replaceAll(/\\[\s\S]/g, (pair) => ENDS[pair] ?? pair);
  return new RegExp(pattern, `g${flags}`);
}
