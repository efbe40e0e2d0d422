/**
 * A table on a terminal that may be too narrow for it: what matters least gives way first, step by step, until it fits.
 * Without a width the table is as wide as its cells.
 */
import { shortNames } from "./short-names.ts";
import { type TableOptions, table } from "./table.ts";
import { wrap } from "./wrap.ts";

/** One step: names lose their middle, a text goes on in further lines, or a column is left out. */
export type Giving =
  | { readonly shorten: number; readonly to: number }
  | { readonly wrap: number; readonly to: number }
  | { readonly drop: number };

export interface NarrowOptions extends Pick<TableOptions, "align"> {
  /** Columns of the terminal; undefined: any. */
  readonly width: number | undefined;
  /** What gives way, the least important first; columns by their number. */
  readonly giving: readonly Giving[];
}

type Rows = readonly (readonly string[])[];

const widest = (rows: Rows, column: number): number =>
  Math.max(0, ...rows.map((row) => Bun.stringWidth(row[column] ?? "")));

const replaced = (row: readonly string[], column: number, text: string): string[] =>
  row.map((cell, at) => (at === column ? text : cell));

/** Equal names stay equal, others each another. */
function withShortNames(rows: Rows, column: number, width: number): Rows {
  const names = [...new Set(rows.map((row) => row[column] ?? ""))].filter((name) => name !== "");
  const short = shortNames(names, width);
  return rows.map((row) => replaced(row, column, short[names.indexOf(row[column] ?? "")] ?? ""));
}

/** Rows with lines of their own for texts that go on. */
const withLines = (rows: Rows, column: number, width: number): Rows =>
  rows.flatMap((row) =>
    wrap(row[column] ?? "", width).map((line, i) => replaced(i === 0 ? row : row.map(() => ""), column, line)),
  );

/**
 * The table in the width, as far as its steps go, and the numbers of the columns that it leaves out.
 *
 *   narrowTable(rows, { width: 60, giving: [{ wrap: 1, to: 30 }, { drop: 2 }, { shorten: 0, to: 12 }] });
 */
export function narrowTable(
  rows: Rows,
  { width = Number.POSITIVE_INFINITY, align = "", giving }: NarrowOptions,
): { readonly text: string; readonly left: readonly number[] } {
  let kept = [...(rows[0] ?? []).keys()];
  const limits = new Map<number, { readonly way: typeof withLines; readonly room: number }>();
  const laidOut = (): Rows =>
    [...limits].reduce<Rows>((shown, [column, { way, room }]) => way(shown, column, room), rows);
  const total = (shown: Rows) => kept.reduce((sum, column) => sum + widest(shown, column) + 2, -2);
  for (const step of giving) {
    const shown = laidOut();
    const over = total(shown) - width;
    if (over <= 0) break;
    if ("drop" in step) kept = kept.filter((column) => column !== step.drop);
    else {
      const [column, way] = "wrap" in step ? [step.wrap, withLines] : [step.shorten, withShortNames];
      const own = widest(shown, column);
      if (own > step.to) limits.set(column, { way, room: Math.max(step.to, own - over) });
    }
  }
  // A column that was left out may have made room for one that had given way.
  for (const [column, { way, room }] of limits) {
    const shown = laidOut();
    limits.set(column, { way, room: Math.max(room, widest(shown, column) + width - total(shown)) });
  }
  const cells = laidOut().map((row) => kept.map((column) => row[column] ?? ""));
  return {
    text: table(cells, { align: kept.map((column) => align[column] ?? "l").join("") }),
    left: [...(rows[0] ?? []).keys()].filter((column) => !kept.includes(column)),
  };
}
