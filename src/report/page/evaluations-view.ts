/** Tables that evaluations left: values with their intervals, and further columns where rows have other forms. */
import { evaluationRows } from "../../run/evaluation/row.ts";
import type { Run } from "../read.ts";
import { columnsOf } from "../tables.ts";
import { escaped, short, table } from "./html.ts";

const interval = (pair: readonly [number, number] | undefined): string =>
  pair ? ` <small>${short(pair[0])} to ${short(pair[1])}</small>` : "";

function evaluation(name: string, rows: NonNullable<ReturnType<typeof evaluationRows>>): string {
  const differs = rows.some(({ difference }) => difference !== undefined);
  const header = [
    "model",
    "group",
    "metric",
    "value, 95 % interval",
    ...(differs ? ["difference to the first"] : []),
    "rows",
  ];
  return table(
    name,
    header,
    rows.map((row) => [
      escaped(row.model),
      escaped(row.group),
      escaped(row.metric),
      `${short(row.value)}${interval(row.interval)}`,
      ...(differs
        ? [row.difference === undefined ? "" : `${short(row.difference)}${interval(row.difference_interval)}`]
        : []),
      short(row.rows),
    ]),
  );
}

/** The section; empty where no run has a table. */
export function evaluationsView(runs: readonly Run[]): string {
  const tables = runs.flatMap((run) =>
    run.tables.map((rows) => {
      const found = evaluationRows(rows);
      if (found) return evaluation(run.name, found);
      const columns = columnsOf(rows);
      return table(
        run.name,
        columns,
        rows.map((row) => columns.map((column) => short(row[column]))),
      );
    }),
  );
  return tables.length > 0 ? `<h2>Evaluations</h2>${tables.join("")}` : "";
}
