/** Runs and evaluations as CSV, Markdown and LaTeX, for papers and pull requests. */
import { evaluationCsv, evaluationSheet } from "../run/evaluation/documents.ts";
import { type EvaluationRow, evaluationRows } from "../run/evaluation/row.ts";
import { meanOf } from "../run/student-t.ts";
import { csv } from "../text/csv.ts";
import { shortNumber } from "../text/format.ts";
import { latexDocument } from "../text/latex.ts";
import { markdownTable, markdownText } from "../text/markdown.ts";
import type { Sheet } from "../text/sheet.ts";
import { differences, metricsOf, type Run, spellOption, statusOf } from "./read.ts";
import { seedGroups } from "./seed-groups.ts";

/** The evaluations of all runs, each the rows of one table. */
export const evaluationsOf = (runs: readonly Run[]): EvaluationRow[][] =>
  runs
    .flatMap(({ tables }) => tables.flatMap((rows) => [evaluationRows(rows) ?? []]))
    .filter(({ length }) => length > 0);

/**
 * One line per run, metric and point: run, metric, step, seconds, tokens, value. Where no run has a curve, the numbers
 * of the evaluations.
 */
export function toCsv(runs: readonly Run[]): string {
  if (metricsOf(runs).length === 0) return evaluationCsv(evaluationsOf(runs).flat());
  const lines: unknown[][] = [["run", "metric", "step", "seconds", "tokens", "value"]];
  for (const { name, series } of runs) {
    for (const [metric, { step, seconds, tokens, value }] of series) {
      for (const i of value.keys()) lines.push([name, metric, step[i], seconds[i], tokens[i], value[i]]);
    }
  }
  return csv(lines, "\n");
}

/** A value in a cell: numbers with five digits. */
export const short = (value: unknown): string =>
  typeof value === "number"
    ? shortNumber(value)
    : Array.isArray(value)
      ? value.map(short).join(" to ")
      : String(value ?? "");

const sheetOf = (header: readonly string[], rows: readonly (readonly unknown[])[]): Sheet => ({
  header,
  align: "",
  blocks: [{ rows: rows.map((row) => row.map((value) => ({ text: short(value) }))) }],
  notes: [],
});

/** The last known value of a series. */
export const lastOf = (run: Run, metric: string): number | undefined =>
  run.series.get(metric)?.value.findLast((x) => !Number.isNaN(x));

/** Keys of evaluation rows, in order of appearance. */
export const columnsOf = (rows: readonly Readonly<Record<string, unknown>>[]): string[] => [
  ...new Set(rows.flatMap((row) => Object.keys(row))),
];

/** A table and what it is called. */
interface Part {
  readonly title?: string;
  readonly sheet: Sheet;
}

/** Final values of every run, the options in which they differ, and the tables of evaluations. */
function partsOf(runs: readonly Run[]): Part[] {
  const metrics = metricsOf(runs);
  const options = differences(runs);
  const last = sheetOf(
    ["run", "status", ...metrics],
    runs.map((run) => [run.name, statusOf(run), ...metrics.map((metric) => lastOf(run, metric))]),
  );
  const differ = sheetOf(
    ["option", ...runs.map(({ name }) => name)],
    options.map(({ option, values }) => [option, ...values.map(spellOption)]),
  );
  const seeds = seedSheet(runs);
  return [
    // What evaluate wrote is a result, and no run of its own.
    ...(runs.some(isLogged) ? [{ sheet: last }] : []),
    ...(seeds ? [{ sheet: seeds }] : []),
    ...(options.length > 0 ? [{ sheet: differ }] : []),
    ...runs.flatMap((run) => run.tables.map((rows) => tablePart(run, rows, runs.length > 1 || isLogged(run)))),
  ];
}

/** Means over runs that differ by their seed alone, with half of the 95 % interval; undefined where there are none. */
function seedSheet(runs: readonly Run[]): Sheet | undefined {
  const logged = runs.filter(isLogged);
  const groups = seedGroups(logged);
  if (groups.every(({ runs: members }) => members.length < 2)) return undefined;
  const names = [...new Set([...metricsOf(logged), ...logged.flatMap(({ numbers }) => Object.keys(numbers))])];
  const rows = groups.map(({ name, runs: members }) => [
    name,
    members.length,
    ...names.map((metric) => {
      const values = members.flatMap((i) => lastOf(logged[i]!, metric) ?? logged[i]!.numbers[metric] ?? []);
      if (values.length === 0) return undefined;
      const { mean, half } = meanOf(values);
      return half === undefined ? mean : `${short(mean)} ± ${Number(half.toPrecision(2))}`;
    }),
  ]);
  return { ...sheetOf(["mean", "seeds", ...names], rows), notes: ["±: half of the 95 % interval of Student's t."] };
}

const isLogged = ({ start }: Run): boolean => start.event !== undefined;

function tablePart({ name }: Run, rows: Run["tables"][number], isNamed: boolean): Part {
  const evaluation = evaluationRows(rows);
  const columns = columnsOf(rows);
  const plain = () =>
    sheetOf(
      columns,
      rows.map((row) => columns.map((column) => row[column])),
    );
  return { ...(isNamed ? { title: name } : {}), sheet: evaluation ? evaluationSheet(evaluation) : plain() };
}

export const toMarkdown = (runs: readonly Run[]): string =>
  partsOf(runs)
    .map(({ title, sheet }) => (title === undefined ? "" : `${markdownText(title)}\n\n`) + markdownTable(sheet))
    .join("\n");

/** Tables alone: what a title says in Markdown is the title of a block of rows here. */
export const toLatex = (runs: readonly Run[]): string =>
  latexDocument(
    partsOf(runs).map(({ title, sheet }) =>
      title === undefined ? sheet : { ...sheet, blocks: [{ title, rows: [] }, ...sheet.blocks] },
    ),
  );
