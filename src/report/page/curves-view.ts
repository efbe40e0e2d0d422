/** What the curves of a page are drawn of. */
import { metricsOf, type Run, thinned } from "../read.ts";
import { seedGroups } from "../seed-groups.ts";

const POINTS = 2000; // of a curve
/** Okabe and Ito's palette, which colour-blind readers can distinguish. */
const COLORS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8c6d31", "#666666"];

export const colorOf = (i: number): string => COLORS[i % COLORS.length]!;

/** What a metric is measured in, as far as its name says. */
function unitOf(metric: string): string {
  if (/(^|eval )loss\b/.test(metric)) return "nats";
  if (/bytes$/.test(metric)) return "bytes";
  if (/seconds$/.test(metric)) return "s";
  return /tokens_per_second$/.test(metric) ? "tokens / s" : "";
}

/** Runs with curves, groups of those that differ by seed alone, and the curves. */
export function curvesData(runs: readonly Run[]) {
  const drawn = runs.filter(({ series }) => series.size > 0);
  const groups = seedGroups(drawn);
  return {
    runs: drawn.map((run) => ({ name: run.name, color: colorOf(runs.indexOf(run)) })),
    groups: groups.map(({ name, runs: members }, i) => ({ name, color: colorOf(i), runs: members })),
    metrics: metricsOf(drawn).map((metric) => ({
      name: metric,
      unit: unitOf(metric),
      series: drawn.map(({ series }) => {
        const found = series.get(metric);
        return found ? thinned(found, POINTS) : null;
      }),
    })),
  };
}

/** The place of the curves, with what changes how they are drawn. */
export const curvesView = (hasSeeds: boolean): string => `<h2>Curves</h2>
<form id="controls"><label>along <select id="axis"><option>step</option><option>tokens</option><option>seconds</option></select></label>
<label><input type="checkbox" id="log"> logarithmic</label>
${hasSeeds ? '<label><input type="checkbox" id="seeds" checked> mean over seeds, band from least to most</label>' : ""}
<label>smoothing <input type="range" id="smooth" min="0" max="0.99" step="0.01" value="0"></label>
<button type="button" id="whole">whole range</button></form>
<p class="hint">Drag across a curve to look closer; double click for the whole.</p>
<fieldset id="legend"><legend>Runs shown</legend></fieldset>
<section id="charts" aria-label="Curves"></section>`;
