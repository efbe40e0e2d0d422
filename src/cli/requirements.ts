/** Options that have no effect without another: what a table declares with `needs` and `with`, checked. */
import { UserError } from "../errors.ts";
import { flagOf, type Options } from "../method/options.ts";

/** "a", "a or b", "a, b or c". */
export const anyOf = (words: readonly string[]): string =>
  words.length < 2 ? words.join("") : `${words.slice(0, -1).join(", ")} or ${words.at(-1)}`;

const listOf = (value: string | readonly string[] | undefined): readonly string[] =>
  value === undefined ? [] : typeof value === "string" ? [value] : value;

const isThere = (value: unknown): boolean => (Array.isArray(value) ? value.length > 0 : Boolean(value));

/** Throws UserError for the first option that was given, differs from its default, and lacks what it needs. */
export function checkRequirements(table: Options, values: Readonly<Record<string, unknown>>): void {
  for (const [name, spec] of Object.entries(table)) {
    if (spec.needs === undefined && spec.with === undefined) continue;
    const value = values[name];
    if (value === undefined || value === false || Bun.deepEquals(value, spec.default)) continue;
    const needed = listOf(spec.needs);
    const wanted = Object.entries(spec.with ?? {}).map(([other, texts]) => [other, listOf(texts)] as const);
    const has = (other: string, texts: readonly string[]) =>
      [values[other]].flat().some((found) => texts.includes(String(found)));
    if (needed.some((other) => isThere(values[other])) || wanted.some(([other, texts]) => has(other, texts))) continue;
    const flags = wanted.flatMap(([other, texts]) =>
      texts.map((text, i) => (i === 0 ? `${flagOf(other)} ${text}` : text)),
    );
    throw new UserError(
      `${flagOf(name)} has no effect without ${anyOf([...needed.map(flagOf), ...flags])}`,
      "give both or neither",
    );
  }
}
