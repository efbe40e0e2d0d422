/** The rows of an evaluation as a grid: models down, metrics across, groups as blocks. */
import { type Better, bestOf, type EvaluationRow } from "./row.ts";

export interface GridCell {
  /** The mean over seeds. */
  readonly value: number;
  /** Standard deviation over seeds, n - 1 below; left out for one run. */
  readonly deviation?: number;
  readonly isBest: boolean;
}

/** A model, or runs that differ by their seeds alone. */
export interface GridLine {
  readonly name: string;
  /** How many runs. */
  readonly runs: number;
  readonly isGold: boolean;
  /** By column; undefined where the metric is not measured on the group. */
  readonly cells: readonly (GridCell | undefined)[];
}

export interface GridBlock {
  readonly group: string;
  /** Rows of data: of most metrics, and of those that were measured on others, by column. */
  readonly rows: number;
  readonly otherRows: readonly { readonly metric: string; readonly rows: string }[];
  readonly lines: readonly GridLine[];
}

export interface Grid {
  readonly metrics: readonly string[];
  readonly blocks: readonly GridBlock[];
  /** Names of further numbers, which the grid leaves out. */
  readonly details: readonly string[];
  /** Whether some number has an interval or a difference, which the grid leaves out. */
  readonly hasIntervals: boolean;
  readonly hasDifferences: boolean;
}

const unique = <T>(list: readonly T[]): T[] => [...new Set(list)];

export function gridOf(rows: readonly EvaluationRow[]): Grid {
  // What was written before metrics said which value is better has details among the metrics.
  const isOld = rows.every(({ better }) => better === undefined);
  const main = isOld ? rows : rows.filter(({ better }) => better !== undefined);
  const metrics = unique(main.map(({ metric }) => metric));
  const groups = unique(main.map(({ group }) => group));
  return {
    metrics,
    blocks: groups.map((group) =>
      blockOf(
        group,
        metrics,
        main.filter((row) => row.group === group),
      ),
    ),
    details: unique(rows.filter((row) => !main.includes(row)).map(({ metric }) => metric)),
    hasIntervals: rows.some(({ interval }) => interval !== undefined),
    hasDifferences: rows.some(({ difference }) => difference !== undefined),
  };
}

/** Rows by line. A model that is measured twice has two lines. */
function linesOf(rows: readonly EvaluationRow[]) {
  const lines = new Map<string, { name: string; isGold: boolean; own: EvaluationRow[] }>();
  for (const row of rows) {
    const { model, metric, seeds_of, gold = false } = row;
    for (let times = 1; ; times++) {
      const name = (seeds_of ?? model) + (times > 1 ? ` #${times}` : "");
      const key = JSON.stringify([name, seeds_of !== undefined, gold]);
      const line = lines.get(key) ?? { name, isGold: gold, own: [] };
      if (line.own.some((other) => other.metric === metric && other.model === model)) continue;
      line.own.push(row);
      lines.set(key, line);
      break;
    }
  }
  return [...lines.values()];
}

/** Candidates in order of appearance, gold behind them. */
function blockOf(group: string, metrics: readonly string[], rows: readonly EvaluationRow[]): GridBlock {
  const lines = linesOf(rows);
  const ordered = [...lines.filter(({ isGold }) => !isGold), ...lines.filter(({ isGold }) => isGold)];
  const values = ordered.map(({ own }) =>
    metrics.map((metric) => own.flatMap((row) => (row.metric === metric ? [row.value] : []))),
  );
  const best = metrics.map((metric, column) => {
    const better: Better = rows.find((row) => row.metric === metric)?.better ?? "none";
    const candidates = values.filter((_, i) => !ordered[i]!.isGold).filter((line) => line[column]!.length > 0);
    return bestOf(
      candidates.map((line) => mean(line[column]!)),
      better,
    );
  });
  return {
    group,
    ...rowCounts(metrics, rows),
    lines: ordered.map(({ name, own, isGold }, i) => ({
      name,
      runs: unique(own.map(({ model }) => model)).length,
      isGold,
      cells: values[i]!.map((list, column) => cellOf(list, isGold ? undefined : best[column])),
    })),
  };
}

const mean = (list: readonly number[]): number => list.reduce((sum, x) => sum + x, 0) / list.length;

function cellOf(list: readonly number[], best: number | undefined): GridCell | undefined {
  if (list.length === 0) return undefined;
  const value = mean(list);
  const squares = list.reduce((sum, x) => sum + (x - value) ** 2, 0);
  const deviation = list.length > 1 ? { deviation: Math.sqrt(squares / (list.length - 1)) } : {};
  return { value, ...deviation, isBest: value === best };
}

/** How many rows most metrics were measured on, and the others by name. */
function rowCounts(metrics: readonly string[], rows: readonly EvaluationRow[]): Pick<GridBlock, "rows" | "otherRows"> {
  const counts = metrics.flatMap((metric) => {
    const found = unique(rows.filter((row) => row.metric === metric).map((row) => row.rows));
    return found.length > 0 ? [{ metric, found }] : [];
  });
  const times = Map.groupBy(counts, ({ found }) => found[0]!);
  const [usual] = [...times].sort(([, a], [, b]) => b.length - a.length)[0]!;
  const others = counts.filter(({ found }) => found.length > 1 || found[0] !== usual);
  return { rows: usual, otherRows: others.map(({ metric, found }) => ({ metric, rows: found.join(" or ") })) };
}
