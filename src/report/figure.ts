/** Curves as SVG and PNG. The libraries are only needed here, and only loaded then. */
import { library } from "../library.ts";
import { FRONT_HEIGHT, frontFigures } from "./front-figure.ts";
import { metricsOf, type Run, thinned } from "./read.ts";

const WIDTH = 720;
const HEIGHT = 200; // of a panel

/** What needs the libraries, for messages. */
const PURPOSE = "a figure";

/** One panel per metric, below each other, one line per run; then the fronts of searches. */
export async function toSvg(runs: readonly Run[], axis: "step" | "tokens" | "seconds"): Promise<string> {
  const Plot = await library<typeof import("@observablehq/plot")>("@observablehq/plot", PURPOSE);
  const { parseHTML } = await library<typeof import("linkedom")>("linkedom", PURPOSE);
  const { document } = parseHTML("<html><body></body></html>");
  const panels = metricsOf(runs).map((metric, i) => {
    const points = runs.flatMap((run) => {
      const series = run.series.get(metric);
      if (!series) return [];
      const { value, ...axes } = thinned(series, 1000);
      return value.map((y, at) => ({ run: run.name, x: axes[axis][at]!, y }));
    });
    const names = { x: "x", y: "y", z: "run" };
    const ends = Plot.text(points, Plot.selectLast({ ...names, text: "run", dx: 6, textAnchor: "start" }));
    const panel = Plot.plot({
      document,
      width: WIDTH,
      height: HEIGHT,
      marginLeft: 60,
      marginRight: 110,
      marginTop: 30,
      marginBottom: 35,
      style: { background: "white", color: "black", fontFamily: "sans-serif" },
      x: { label: axis, grid: true },
      y: { label: metric, grid: true, tickFormat: "~s" },
      color: { domain: runs.map(({ name }) => name), scheme: "Observable10" },
      marks: [
        Plot.frame({ stroke: "#ccc" }),
        Plot.line(points, { ...names, stroke: "run" }),
        ...(runs.length > 1 ? [ends] : []),
      ],
    });
    panel.setAttribute("y", String(i * HEIGHT));
    return panel.outerHTML;
  });
  const fronts = runs.flatMap(frontFigures);
  const placed = fronts.map((front, i) =>
    front.replace("<svg ", `<svg y="${HEIGHT * panels.length + FRONT_HEIGHT * i}" `),
  );
  const height = HEIGHT * panels.length + FRONT_HEIGHT * fronts.length;
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}">${[...panels, ...placed].join("")}</svg>\n`;
}

export async function toPng(svg: string): Promise<Uint8Array> {
  const { Resvg } = await library<typeof import("@resvg/resvg-js")>("@resvg/resvg-js", PURPOSE);
  return new Resvg(svg, { fitTo: { mode: "width", value: 1440 } }).render().asPng();
}
