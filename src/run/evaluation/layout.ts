/**
 * A grid for people: as many lines as models and groups, in a given width. What does not fit is shortened step by step,
 * the least important first: names of metrics are broken, names of models lose their middle, numbers their last
 * digits. Columns that still have no room are left out on a terminal, and named.
 */
import { shortNames } from "../../text/short-names.ts";
import type { Grid, GridBlock, GridCell, GridLine } from "./grid.ts";

export interface LayoutOptions {
  /** Columns that the table should fit into. */
  readonly width: number;
  /** Whether columns without room are left out; else lines are longer. */
  readonly cuts: boolean;
}

/** How much a layout shortens. */
interface Style {
  readonly digits: number;
  readonly nameWidth: number;
  readonly isBroken: boolean;
  /** Deviations lose the zero before their point, long words of metrics are broken. */
  readonly isTight: boolean;
  /** Spaces between columns, besides that of the mark. */
  readonly gap: number;
}

const PLAIN: Style = { digits: 4, nameWidth: Number.POSITIVE_INFINITY, isBroken: false, isTight: false, gap: 1 };
const TIGHT: Style = { ...PLAIN, nameWidth: 16, isBroken: true, isTight: true };

const STYLES: readonly Style[] = [
  PLAIN,
  { ...PLAIN, nameWidth: 40, isBroken: true },
  { ...PLAIN, nameWidth: 24, isBroken: true },
  { ...PLAIN, nameWidth: 24, isBroken: true, digits: 3 },
  { ...TIGHT, digits: 3 },
  { ...TIGHT, digits: 2 },
  { ...TIGHT, digits: 2, nameWidth: 12 },
  { ...TIGHT, digits: 2, nameWidth: 12, gap: 0 },
];

/** A number with so many digits behind its point, fewer where it is large; "-" where it is unknown. */
export function numberText(x: number, digits: number): string {
  if (Number.isNaN(x)) return "-";
  const whole = Math.abs(x) >= 1000 ? 3 : Math.abs(x) >= 100 ? 2 : Math.abs(x) >= 10 ? 1 : 0;
  const places = digits === 4 ? (whole === 3 ? 1 : 4) : Math.max(0, digits - whole);
  return x.toFixed(places);
}

/** A value with its deviation, without a mark. */
export function cellText({ value, deviation }: GridCell, digits: number, isTight = false): string {
  const text = numberText(value, digits);
  if (deviation === undefined) return text;
  const places = text.split(".")[1]?.length ?? 0;
  const spread = Number.isNaN(deviation) ? "-" : deviation.toFixed(places);
  return `${text}±${isTight ? spread.replace(/^0(?=\.)/, "") : spread}`;
}

/** The name of a line, with what it stands for; a folder without its last slash. */
export const lineName = ({ name, runs, isGold }: Pick<GridLine, "name" | "runs" | "isGold">): string =>
  [name.replace(/(?<=.)\/$/, ""), ...(isGold ? ["(gold)"] : []), ...(runs > 1 ? [`(${runs})`] : [])].join(" ");

/** "forget, n 40 (truth-ratio 20)" */
export function blockTitle({ group, rows, otherRows }: GridBlock): string {
  const others = otherRows.map(({ metric, rows: n }) => `${metric} ${n}`).join(", ");
  return `${group}, n ${rows}${others === "" ? "" : ` (${others})`}`;
}

/** A name in lines of about `width`, broken behind hyphens and commas; words too if they `mayBreak`. */
function brokenName(name: string, width: number, mayBreak: boolean): string[] {
  const lines = [""];
  const halves = (part: string) => {
    if (!mayBreak || part.length <= width + 2) return [part];
    const middle = Math.ceil(part.length / 2);
    return [`${part.slice(0, middle)}-`, part.slice(middle)];
  };
  for (const part of name.split(/(?<=[-_,])/).flatMap(halves)) {
    const last = lines.length - 1;
    if (lines[last] === "" || lines[last]!.length + part.length <= width) lines[last] += part;
    else lines.push(part);
  }
  return lines;
}

interface Column {
  readonly head: readonly string[];
  readonly width: number;
}

interface Laid {
  readonly lines: readonly string[];
  readonly width: number;
}

/** Whether every block has one line alone, so that groups are the lines. */
export const isTransposed = ({ blocks }: Grid): boolean =>
  blocks.length > 1 && blocks.every(({ lines }) => lines.length === 1);

/** The grid with a style, its first columns only. */
function laidOut(grid: Grid, style: Style, columns: number): Laid {
  const names = grid.blocks.map((block) =>
    isTransposed(grid) ? [blockTitle(block)] : shortNames(block.lines.map(lineName), style.nameWidth),
  );
  const isTitled = grid.blocks.length > 1 && !isTransposed(grid);
  const indent = isTitled ? (style.isTight ? 1 : 2) : 0;
  const nameWidth = indent + (style.gap === 0 ? 1 : 0) + Math.max(...names.flat().map((name) => Bun.stringWidth(name)));
  const mark = (cell: GridCell | undefined) =>
    cell === undefined ? " " : `${cellText(cell, style.digits, style.isTight)}${cell.isBest ? "*" : " "}`;
  const shown = grid.metrics.slice(0, columns).map((metric, i): Column => {
    const cells = grid.blocks.flatMap(({ lines }) => lines.map(({ cells: list }) => Bun.stringWidth(mark(list[i]))));
    const least = Math.max(...cells) - 1;
    const head = style.isBroken ? brokenName(metric, Math.max(least, 6), style.isTight) : [metric];
    return { head, width: Math.max(least, ...head.map((text) => Bun.stringWidth(text))) + 1 };
  });
  const padded = (text: string, width: number) => " ".repeat(Math.max(0, width - Bun.stringWidth(text))) + text;
  const height = Math.max(...shown.map(({ head }) => head.length));
  const line = (name: string, texts: readonly string[]) =>
    [name + " ".repeat(nameWidth - Bun.stringWidth(name)), ...texts.map((text, i) => padded(text, shown[i]!.width))]
      .join(" ".repeat(style.gap))
      .trimEnd();
  const heads = Array.from({ length: height }, (_, at) =>
    line(
      "",
      shown.map(({ head }) => `${head[at - (height - head.length)] ?? ""} `),
    ),
  );
  const bodies = grid.blocks.flatMap((block, b) => [
    ...(isTitled ? [blockTitle(block)] : []),
    ...block.lines.map(({ cells }, l) =>
      line(
        " ".repeat(indent) + names[b]![l]!,
        cells.slice(0, columns).map((cell) => mark(cell)),
      ),
    ),
  ]);
  const all = [...heads, ...bodies];
  return { lines: all, width: Math.max(...all.map((text) => Bun.stringWidth(text))) };
}

/** The grid as lines, and the metrics that had no room. */
export function gridLines(grid: Grid, { width, cuts }: LayoutOptions): { lines: readonly string[]; left: string[] } {
  const count = grid.metrics.length;
  let laid = laidOut(grid, STYLES[0]!, count);
  for (const style of STYLES) {
    laid = laidOut(grid, style, count);
    if (laid.width <= width) return { lines: laid.lines, left: [] };
  }
  if (!cuts) return { lines: laid.lines, left: [] };
  for (let columns = count - 1; columns > 0; columns--) {
    laid = laidOut(grid, STYLES.at(-1)!, columns);
    if (laid.width <= width || columns === 1) return { lines: laid.lines, left: grid.metrics.slice(columns) };
  }
  return { lines: laid.lines, left: [] };
}
