/** Runs as the columns of one table: what they are, the options in which they differ, and the numbers they came to. */
import { evaluationRows } from "../run/evaluation/row.ts";
import { differences, metricsOf, type Run, spellOption, statusOf } from "./read.ts";
import { lastOf } from "./tables.ts";

export interface RunColumn {
  readonly name: string;
  /** What is known to be better of its numbers. */
  readonly better?: "lower" | "higher";
  /** One for each run; undefined where it has none. */
  readonly values: readonly (string | number | undefined)[];
}

/** What is better of a number by its name, where that is plain. */
export function betterOf(name: string): RunColumn["better"] {
  if (/(^|[ _.@-])(loss|error|perplexity|rmse|mae|mse|seconds|bytes|ece)\b/.test(name)) return "lower";
  return /(^|[ _.-])(accuracy|recall|match|rouge-l|r2|spearman|utility)\b/.test(name) ? "higher" : undefined;
}

const numeric = (value: unknown): string | number | undefined => {
  if (typeof value === "number" || value === undefined) return value;
  const text = spellOption(value)!;
  return /^-?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(text) ? Number(text) : text;
};

/** Numbers that evaluations of a run came to: by metric, and by metric@group where there are groups. */
function evaluated(run: Run): { name: string; value: number; better: RunColumn["better"] }[] {
  return run.tables.flatMap((rows) => {
    const found = evaluationRows(rows) ?? [];
    const models = new Set(found.map(({ model }) => model));
    if (models.size > 1) return []; // the table has a row for each
    return found.map(({ metric, group, value, better }) => ({
      name: group === "all" ? metric : `${metric}@${group}`,
      value,
      better: better === "lower" || better === "higher" ? better : betterOf(metric),
    }));
  });
}

/** Columns that say something: of one run all, of several those of texts that differ, and all of numbers. */
export function runColumns(runs: readonly Run[]): RunColumn[] {
  const columns: RunColumn[] = [{ name: "run", values: runs.map(({ name }) => name) }];
  const add = (column: RunColumn) => {
    if (!columns.some(({ name }) => name === column.name)) columns.push(column);
  };
  const texts: RunColumn[] = [
    { name: "script", values: runs.map(({ start }) => [start.script, start.method].filter(Boolean).join(" ")) },
    { name: "status", values: runs.map(statusOf) },
  ];
  for (const column of texts) if (new Set(column.values).size > 1) add(column);
  for (const { option, values } of differences(runs)) add({ name: option, values: values.map(numeric) });
  for (const metric of metricsOf(runs))
    add({ name: metric, ...betterAs(betterOf(metric)), values: runs.map((run) => lastOf(run, metric)) });
  const measured = runs.map(evaluated);
  for (const { name, better } of measured.flat())
    add({ name, ...betterAs(better), values: measured.map((of) => of.find((one) => one.name === name)?.value) });
  for (const name of new Set(runs.flatMap(({ numbers }) => Object.keys(numbers))))
    add({ name, ...betterAs(betterOf(name)), values: runs.map(({ numbers }) => numbers[name]) });
  add({ name: "steps", values: runs.map(({ step }) => step) });
  add({ name: "seconds", better: "lower", values: runs.map(({ seconds }) => seconds) });
  return columns.filter(({ values }) => values.some((value) => value !== undefined));
}

const betterAs = (better: RunColumn["better"]) => (better === undefined ? {} : { better });

/** Whether all that a column has are numbers, and some differ. */
export const isNumeric = ({ values }: RunColumn): boolean => {
  const known = values.filter((value) => value !== undefined);
  return known.every((value) => typeof value === "number") && new Set(known).size > 1;
};
