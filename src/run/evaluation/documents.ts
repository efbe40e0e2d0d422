/** An evaluation as text, CSV, JSON lines, Markdown and LaTeX: the one place that writes them. */
import { csv } from "../../text/csv.ts";
import type { Cell, Sheet } from "../../text/sheet.ts";
import { wrap } from "../../text/wrap.ts";
import { type Grid, gridOf } from "./grid.ts";
import { blockTitle, cellText, gridLines, isTransposed, type LayoutOptions, lineName } from "./layout.ts";
import type { EvaluationRow } from "./row.ts";

/** A record a number, its intervals in columns of their own. */
const COLUMNS: Readonly<Record<string, (row: EvaluationRow) => unknown>> = {
  model: ({ model }) => model,
  seeds_of: ({ seeds_of }) => seeds_of,
  seed: ({ seed }) => seed,
  gold: ({ gold }) => gold ?? false,
  group: ({ group }) => group,
  metric: ({ metric }) => metric,
  better: ({ better }) => better,
  value: ({ value }) => value,
  interval_low: ({ interval }) => interval?.[0],
  interval_high: ({ interval }) => interval?.[1],
  difference: ({ difference }) => difference,
  difference_low: ({ difference_interval }) => difference_interval?.[0],
  difference_high: ({ difference_interval }) => difference_interval?.[1],
  rows: ({ rows }) => rows,
};

/** Every number as a record: model, group, metric, value and what belongs to it. */
export const evaluationCsv = (rows: readonly EvaluationRow[]): string =>
  csv([Object.keys(COLUMNS), ...rows.map((row) => Object.values(COLUMNS).map((of) => of(row)))]);

/** What the marks of a grid mean; nothing of marks that it does not have. */
function legend(grid: Grid, best: string): string[] {
  const lines = grid.blocks.flatMap((block) => block.lines);
  const cells = lines.flatMap((line) => line.cells.flatMap((cell) => cell ?? []));
  const hasBest = cells.some(({ isBest }) => isBest);
  const hasSeeds = lines.some(({ runs }) => runs > 1);
  return [
    ...(hasBest ? [`${best}: best of its column, where one side is better.`] : []),
    ...(hasSeeds ? ["±: standard deviation over seeds, whose number stands behind the name."] : []),
  ];
}

/** The grid of an evaluation for documents. */
export function evaluationSheet(rows: readonly EvaluationRow[]): Sheet {
  const grid = gridOf(rows);
  const cellsOf = (cells: Grid["blocks"][number]["lines"][number]["cells"]): Cell[] =>
    cells.map((cell) => (cell ? { text: cellText(cell, 4), strong: cell.isBest } : { text: "" }));
  const blocks = isTransposed(grid)
    ? [
        {
          title: lineName(grid.blocks[0]!.lines[0]!),
          rows: grid.blocks.map((block) => [{ text: blockTitle(block) }, ...cellsOf(block.lines[0]!.cells)]),
        },
      ]
    : grid.blocks.map((block) => ({
        title: blockTitle(block),
        rows: block.lines.map((line) => [{ text: lineName(line) }, ...cellsOf(line.cells)]),
      }));
  return {
    header: [isTransposed(grid) ? "group" : "model", ...grid.metrics],
    align: `l${"r".repeat(grid.metrics.length)}`,
    blocks,
    notes: legend(grid, "Bold"),
  };
}

/** What a grid leaves out of an evaluation, in words. */
const leftOut = (grid: Grid): string[] => [
  ...(grid.hasIntervals ? ["95 % intervals"] : []),
  ...(grid.hasDifferences ? ["differences to the first model"] : []),
  ...(grid.details.length > 0 ? [`details (${grid.details.length})`] : []),
];

/** What a table in a document leaves out, which CSV has; undefined where that is nothing. */
export function leftOutOfTable(rows: readonly EvaluationRow[]): string | undefined {
  const left = leftOut(gridOf(rows));
  return left.length > 0 ? `the table leaves out ${left.join(", ")}; a file that ends in .csv has them` : undefined;
}

/** The grid of an evaluation for people, and what it leaves out. */
export function evaluationText(rows: readonly EvaluationRow[], options: LayoutOptions): string {
  const grid = gridOf(rows);
  const { lines, left } = gridLines(grid, options);
  const [first] = grid.blocks;
  const isTitled = grid.blocks.length > 1;
  const counted = isTitled || !first ? [] : [`${blockTitle(first).slice(first.group.length + 2)}.`];
  const further = leftOut(grid);
  const transposed = isTransposed(grid) ? [`${lineName(first!.lines[0]!)}.`] : [];
  const notes = [
    ...transposed,
    ...counted,
    ...legend(grid, "*"),
    ...(left.length > 0 ? [`No room for ${left.join(", ")}: widen the terminal, or write -o FILE.csv.`] : []),
    ...(further.length > 0 ? [`--long: ${further.join(", ")}.`] : []),
  ];
  return [...lines, ...(notes.length > 0 ? wrap(notes.join(" "), Math.max(40, options.width)) : [])].join("\n");
}
