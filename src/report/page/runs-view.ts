/** The runs: a table that sorts and filters, two of its numbers against each other, what each run says of itself. */
import { type Run, statusOf } from "../read.ts";
import { isNumeric, type RunColumn } from "../run-columns.ts";
import { escaped, scrolling, short } from "./html.ts";

/** A card of a run. */
export function card(run: Run, color: string): string {
  const { start, end, bad } = run;
  const facts: [string, unknown][] = [
    ["status", statusOf(run)],
    ["script", [start.script, start.method].filter(Boolean).join(" ")],
    ["started", start.time],
    ["device", start.device],
    ["seed", start.seed],
    ["version", start.version],
    ["result", end?.out],
    ["error", end?.error],
  ];
  const shown = facts.filter(([, value]) => value !== undefined && value !== null && value !== "");
  const list = shown.map(([name, value]) => `<dt>${name}</dt><dd>${escaped(value)}</dd>`).join("");
  const inputs = Array.isArray(start.inputs)
    ? start.inputs.map((input) => (typeof input === "object" ? JSON.stringify(input) : String(input)))
    : [];
  const steps = [inputs.join(", "), start.script, end?.out].filter((part) => part !== undefined && part !== "");
  const lineage = `<p class="lineage">${steps.map((part) => `<span>${escaped(part)}</span>`).join(" &rarr; ")}</p>`;
  const lines =
    bad.length > 0 ? `<p class="warning">${bad.length} lines are not JSON: ${bad.slice(0, 10).join(", ")}</p>` : "";
  const warnings = run.warnings.map((text) => `<p class="warning">${escaped(text)}</p>`).join("");
  return `<article class="${statusOf(run)}"><h3><i style="background:${color}"></i>${escaped(run.name)}</h3><dl>${list}</dl>${steps.length > 1 ? lineage : ""}${lines}${warnings}</article>`;
}

const cell = (value: string | number | undefined): string =>
  value === undefined
    ? "<td></td>"
    : typeof value === "number"
      ? `<td class="number" data-value="${value}">${short(value)}</td>`
      : `<td>${escaped(value)}</td>`;

/** All runs in one table. What sorts and filters it is added by its script, so that it is whole without. */
export function runsTable(columns: readonly RunColumn[], count: number): string {
  const isNumber = ({ values }: RunColumn) => values.every((value) => typeof value !== "string");
  const header = columns
    .map((column) => `<th scope="col"${isNumber(column) ? ' class="number"' : ""}>${escaped(column.name)}</th>`)
    .join("");
  const rows = Array.from(
    { length: count },
    (_, i) => `<tr>${columns.map(({ values }) => cell(values[i])).join("")}</tr>`,
  );
  return scrolling(
    "All runs",
    `<table id="runs"><caption>All runs</caption><thead><tr>${header}</tr></thead><tbody>${rows.join("")}</tbody></table>`,
  );
}

/** The place of a scatter of two columns; empty where there are not two. */
export function scatterView(columns: readonly RunColumn[], count: number): string {
  const numeric = columns.filter(isNumeric);
  if (count < 3 || numeric.length < 2) return "";
  const options = numeric.map(({ name }) => `<option>${escaped(name)}</option>`).join("");
  const better = (axis: string) =>
    `<label>better <select id="${axis}-better"><option value="lower">lower</option><option value="higher">higher</option></select></label>`;
  return `<section id="scatter" aria-label="Two numbers of all runs"><h2>Two numbers of all runs</h2>
<form><label>across <select id="x-column">${options}</select></label>${better("x")}
<label>up <select id="y-column">${options}</select></label>${better("y")}</form>
${scrolling("Scatter", '<svg role="img" aria-label="Scatter of two numbers; the table of runs has them all" viewBox="0 0 720 360"></svg>')}
<p class="hint">Runs on the line are beaten by no other in both numbers.</p></section>`;
}

/** What the scatter draws. */
export const scatterData = (columns: readonly RunColumn[], names: readonly string[]) => ({
  names,
  columns: columns.filter(isNumeric).map(({ name, better, values }) => ({
    name,
    better: better ?? null,
    values: values.map((value) => value ?? null),
  })),
});
