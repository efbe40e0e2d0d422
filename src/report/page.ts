/**
 * Runs as one offline HTML page: curves that can be switched, the options in which they differ, tables, warnings,
 * lineage.
 */
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { frontFigures } from "./front-figure.ts";
import { differences, metricsOf, type Run, spellOption, statusOf, thinned } from "./read.ts";
import { columnsOf, lastOf } from "./tables.ts";

const POINTS = 2000; // of a curve
/** Okabe and Ito's palette, which colour-blind readers can distinguish. */
const COLORS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8c6d31", "#666666"];

const escaped = (text: unknown): string =>
  String(text ?? "")
    .replaceAll("&", "&amp;")
    .replaceAll("<", "&lt;")
    .replaceAll(">", "&gt;")
    .replaceAll('"', "&quot;");
/** JSON that may stand in a script element: nothing in it ends the element. */
const embedded = (value: unknown): string => JSON.stringify(value).replaceAll("<", "\\u003c");
const short = (value: unknown): string =>
  typeof value === "number"
    ? String(Number(value.toPrecision(5)))
    : Array.isArray(value)
      ? value.map(short).join(" to ")
      : escaped(value);

const table = (caption: string, header: readonly string[], rows: readonly (readonly string[])[]): string =>
  `<div class="scroll"><table><caption>${escaped(caption)}</caption><thead><tr>${header.map((name) => `<th scope="col">${escaped(name)}</th>`).join("")}</tr></thead><tbody>${rows
    .map((row) => `<tr>${row.map((value) => `<td>${value}</td>`).join("")}</tr>`)
    .join("")}</tbody></table></div>`;

const library = (name: string): string =>
  readFileSync(fileURLToPath(import.meta.resolve(`uplot/dist/${name}`)), "utf8");
const asset = (name: string): string => readFileSync(fileURLToPath(new URL(name, import.meta.url)), "utf8");

function header(run: Run, color: string): string {
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

/** The whole page. */
export function toHtml(runs: readonly Run[]): string {
  const color = (i: number) => COLORS[i % COLORS.length]!;
  const metrics = metricsOf(runs);
  const drawn = runs.filter(({ series }) => series.size > 0);
  const data = {
    runs: drawn.map((run) => ({ name: run.name, color: color(runs.indexOf(run)) })),
    metrics: metrics.map((metric) => ({
      name: metric,
      series: drawn.map(({ series }) => {
        const found = series.get(metric);
        return found ? thinned(found, POINTS) : null;
      }),
    })),
  };
  const options = differences(runs);
  const finals = table(
    "Last values",
    ["run", ...metrics],
    drawn.map((run) => [escaped(run.name), ...metrics.map((metric) => short(lastOf(run, metric) ?? ""))]),
  );
  const results = runs.flatMap((run) =>
    run.tables.map((rows) => {
      const columns = columnsOf(rows);
      return table(
        run.name,
        columns,
        rows.map((row) => columns.map((column) => short(row[column]))),
      );
    }),
  );
  const fronts = runs.flatMap(frontFigures);
  const title = runs.map(({ name }) => name).join(", ");
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escaped(title)}</title>
<style>${library("uPlot.min.css")}${asset("page.css")}</style></head>
<body><h1>${escaped(title)}</h1>
<section class="runs" aria-label="Runs">${runs.map((run, i) => header(run, color(i))).join("")}</section>
${
  metrics.length > 0
    ? `<form id="controls"><label>along <select id="axis"><option>step</option><option>tokens</option><option>seconds</option></select></label>
<label><input type="checkbox" id="log"> logarithmic</label>
<label>smoothing <input type="range" id="smooth" min="0" max="0.99" step="0.01" value="0"></label></form>
<fieldset id="legend"><legend>Runs shown</legend></fieldset>
<section id="charts" aria-label="Curves"></section>${finals}`
    : ""
}
${
  options.length > 0
    ? table(
        "Options that differ",
        ["option", ...runs.map(({ name }) => name)],
        options.map(({ option, values }) => [
          escaped(option),
          ...values.map((value) => escaped(spellOption(value) ?? "-")),
        ]),
      )
    : ""
}
${fronts.length > 0 ? `<h2>Fronts</h2>${fronts.join("")}` : ""}
${results.length > 0 ? `<h2>Evaluations</h2>${results.join("")}` : ""}
<script>${library("uPlot.iife.min.js")}</script>
<script>const DATA=${embedded(data)};${asset("page.client.js")}</script>
</body></html>
`;
}
