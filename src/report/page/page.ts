/**
 * Runs as one offline HTML page: a table of all runs, curves that can be switched, evaluations, samples, lineage. It
 * holds everything that it needs, and asks for nothing.
 */
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { frontFigures } from "../front-figure.ts";
import { differences, type Run, spellOption } from "../read.ts";
import { runColumns } from "../run-columns.ts";
import type { Ancestry } from "../sources/read-sources.ts";
import { colorOf, curvesData, curvesView } from "./curves-view.ts";
import { evaluationsView } from "./evaluations-view.ts";
import { embedded, escaped, table } from "./html.ts";
import { lineageView } from "./lineage-view.ts";
import { card, runsTable, scatterData, scatterView } from "./runs-view.ts";
import { samplesView } from "./samples-view.ts";

/** Runs with a card each; of more the table says enough. */
const CARDS = 6;
/** Names that a title has room for. */
const NAMES = 6;

const library = (name: string): string =>
  readFileSync(fileURLToPath(import.meta.resolve(`uplot/dist/${name}`)), "utf8");
const asset = (name: string): string => readFileSync(fileURLToPath(new URL(name, import.meta.url)), "utf8");

function cards(runs: readonly Run[]): string {
  const all = runs.map((run, i) => card(run, colorOf(i))).join("");
  const section = `<section class="runs" aria-label="Runs">${all}</section>`;
  return runs.length > CARDS
    ? `<details><summary>What each of ${runs.length} runs says of itself</summary>${section}</details>`
    : section;
}

function optionsTable(runs: readonly Run[]): string {
  const options = differences(runs);
  if (options.length === 0 || runs.length > CARDS) return "";
  return table(
    "Options that differ",
    ["option", ...runs.map(({ name }) => name)],
    options.map(({ option, values }) => [
      escaped(option),
      ...values.map((value) => escaped(spellOption(value) ?? "-")),
    ]),
  );
}

/** The whole page. */
export function toHtml(runs: readonly Run[], ancestries: readonly Ancestry[] = []): string {
  const curves = curvesData(runs);
  const columns = runColumns(runs);
  const scatter = scatterView(columns, runs.length);
  const fronts = runs.flatMap(frontFigures);
  const hasCurves = curves.metrics.length > 0;
  const names = [...new Set([...runs.map(({ name }) => name), ...ancestries.map(({ ref }) => ref)])];
  const title =
    names.length > NAMES ? `${names.slice(0, NAMES).join(", ")} and ${names.length - NAMES} more` : names.join(", ");
  const scripts = [
    ...(hasCurves ? [library("uPlot.iife.min.js"), `const DATA=${embedded(curves)};${asset("curves.client.js")}`] : []),
    ...(runs.length > 1 ? [asset("table.client.js")] : []),
    ...(scatter !== ""
      ? [
          `const SCATTER=${embedded(
            scatterData(
              columns,
              runs.map(({ name }) => name),
            ),
          )};${asset("scatter.client.js")}`,
        ]
      : []),
  ];
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escaped(title)}</title>
<style>${hasCurves ? library("uPlot.min.css") : ""}${asset("page.css")}</style></head>
<body><main><h1>${escaped(title)}</h1>
${runs.length > 0 ? `<h2>Runs</h2>${cards(runs)}` : ""}
${runs.length > 1 || hasCurves ? runsTable(columns, runs.length) : ""}
${optionsTable(runs)}
${hasCurves ? curvesView(curves.groups.some(({ runs: members }) => members.length > 1)) : ""}
${scatter}
${fronts.length > 0 ? `<h2>Fronts</h2>${fronts.join("")}` : ""}
${evaluationsView(runs)}
${samplesView(runs)}
${lineageView(ancestries)}
</main>
${scripts.map((text) => `<script>${text}</script>`).join("\n")}
</body></html>
`;
}
