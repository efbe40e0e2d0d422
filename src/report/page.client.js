// Runs in the page. DATA holds runs (name, color) and metrics (name, one series per run or null).
{
  const element = (id) => document.getElementById(id);
  const charts = element("charts");
  const shown = DATA.runs.map(() => true);
  let plots = [];
  const compact = new Intl.NumberFormat("en", { notation: "compact", maximumSignificantDigits: 4 });
  const label = (x) =>
    x === null ? "" : Math.abs(x) > 0 && Math.abs(x) < 1e-3 ? x.toExponential(1) : compact.format(x);

  const smooth = (values, share) => {
    let mean;
    return values.map((v) => {
      if (v === null) return null;
      mean = mean === undefined ? v : share * mean + (1 - share) * v;
      return mean;
    });
  };

  /** All runs of a metric over one axis: the union of their places, null where a run has no value. */
  const joined = (metric, axis) => {
    const places = new Set();
    for (const series of metric.series) for (const x of series?.[axis] ?? []) if (x !== null) places.add(x);
    const xs = [...places].sort((a, b) => a - b);
    const at = new Map(xs.map((x, i) => [x, i]));
    const share = Number(element("smooth").value);
    const columns = metric.series.map((series) => {
      const column = xs.map(() => null);
      if (!series) return column;
      const values = smooth(series.value, share);
      for (const [i, x] of series[axis].entries()) if (x !== null) column[at.get(x)] = values[i];
      return column;
    });
    return [xs, ...columns];
  };

  const draw = () => {
    for (const plot of plots) plot.destroy();
    charts.replaceChildren();
    const axis = element("axis").value;
    const ink = getComputedStyle(document.body).color;
    const line = getComputedStyle(document.documentElement).getPropertyValue("--line");
    const axes = [0, 1].map((i) => ({
      stroke: ink,
      grid: { stroke: line, width: 1 },
      ticks: { stroke: line },
      values: (_, ticks) => ticks.map(label),
      ...(i ? { size: 64 } : {}),
    }));
    plots = DATA.metrics.map((metric) => {
      const figure = document.createElement("figure");
      const caption = document.createElement("figcaption");
      caption.textContent = metric.name;
      figure.append(caption);
      charts.append(figure);
      const data = joined(metric, axis);
      const positive = data.slice(1).every((column) => column.every((v) => v === null || v > 0));
      const log = element("log").checked && positive;
      const series = DATA.runs.map(({ name, color }, i) => ({
        label: name,
        stroke: color,
        width: 1.5,
        spanGaps: true,
        show: shown[i],
        points: { show: data[0].length < 40 },
      }));
      return new uPlot(
        {
          width: Math.max(260, figure.clientWidth),
          height: 220,
          scales: { x: { time: false }, y: { distr: log ? 3 : 1 } },
          axes,
          legend: { show: false },
          series: [{ label: axis }, ...series],
        },
        data,
        figure,
      );
    });
  };

  if (charts) {
    for (const [i, { name, color }] of DATA.runs.entries()) {
      const label = document.createElement("label");
      const box = document.createElement("input");
      box.type = "checkbox";
      box.checked = true;
      box.addEventListener("change", () => {
        shown[i] = box.checked;
        for (const plot of plots) plot.setSeries(i + 1, { show: box.checked });
      });
      const mark = document.createElement("i");
      mark.style.background = color;
      label.append(box, mark, name);
      element("legend").append(label);
    }
    for (const id of ["axis", "log", "smooth"]) element(id).addEventListener("input", draw);
    element("controls").addEventListener("submit", (event) => event.preventDefault());
    let width = window.innerWidth;
    window.addEventListener("resize", () => {
      if (window.innerWidth !== width) draw();
      width = window.innerWidth;
    });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
    draw();
  }
}
