/** Runs as CSV and Markdown, for papers and pull requests. */
import { differences, metricsOf, type Run, spellOption, statusOf } from "./read.ts";

const csvCell = (value: unknown): string => {
  const text = value === undefined || (typeof value === "number" && Number.isNaN(value)) ? "" : String(value);
  return /[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
};

/** One line per run, metric and point: run, metric, step, seconds, tokens, value. */
export function toCsv(runs: readonly Run[]): string {
  const lines = [["run", "metric", "step", "seconds", "tokens", "value"]];
  for (const { name, series } of runs) {
    for (const [metric, { step, seconds, tokens, value }] of series) {
      for (const i of value.keys()) lines.push([name, metric, step[i], seconds[i], tokens[i], value[i]].map(csvCell));
    }
  }
  return `${lines.map((line) => line.join(",")).join("\n")}\n`;
}

const cell = (value: unknown): string =>
  String(value ?? "")
    .replaceAll("|", "\\|")
    .replaceAll("\n", " ");
const short = (value: unknown): string =>
  typeof value === "number"
    ? String(Number(value.toPrecision(5)))
    : Array.isArray(value)
      ? value.map(short).join(" to ")
      : cell(value);
const markdown = (header: readonly string[], rows: readonly (readonly unknown[])[]): string =>
  [
    `| ${header.map(cell).join(" | ")} |`,
    `|${header.map(() => "---").join("|")}|`,
    ...rows.map((row) => `| ${row.map(short).join(" | ")} |`),
  ].join("\n");

/** The last known value of a series. */
export const lastOf = (run: Run, metric: string): number | undefined =>
  run.series.get(metric)?.value.findLast((x) => !Number.isNaN(x));

/** Keys of evaluation rows, in order of appearance. */
export const columnsOf = (rows: readonly Readonly<Record<string, unknown>>[]): string[] => [
  ...new Set(rows.flatMap((row) => Object.keys(row))),
];

/** Final values of every run, the options in which they differ, and the tables of evaluations. */
export function toMarkdown(runs: readonly Run[]): string {
  const metrics = metricsOf(runs);
  const parts = [
    markdown(
      ["run", "status", ...metrics],
      runs.map((run) => [run.name, statusOf(run), ...metrics.map((metric) => lastOf(run, metric))]),
    ),
  ];
  const options = differences(runs);
  if (options.length > 0)
    parts.push(
      markdown(
        ["option", ...runs.map(({ name }) => name)],
        options.map(({ option, values }) => [option, ...values.map(spellOption)]),
      ),
    );
  for (const run of runs) {
    for (const rows of run.tables) {
      const columns = columnsOf(rows);
      parts.push(
        `${run.name}\n\n${markdown(
          columns,
          rows.map((row) => columns.map((column) => row[column])),
        )}`,
      );
    }
  }
  return `${parts.join("\n\n")}\n`;
}
