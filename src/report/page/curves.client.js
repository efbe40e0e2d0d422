// Runs in the page. DATA holds runs (name, color), groups of runs that differ by seed alone, and metrics (name, unit,
// one series per run or null).
{
  const element = (id) => document.getElementById(id);
  const charts = element("charts");
  let plots = [];
  const compact = new Intl.NumberFormat("en", { notation: "compact", maximumSignificantDigits: 4 });
  const label = (x) =>
    x === null ? "" : Math.abs(x) > 0 && Math.abs(x) < 1e-3 ? x.toExponential(1) : compact.format(x);
  const exact = (x) => String(Number(x.toPrecision(5)));
  const units = { step: "step", tokens: "tokens", seconds: "time (s)" };

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

  /** A column whose gaps between two values are filled along the line between them. */
  const filled = (xs, column) => {
    const known = column.flatMap((v, i) => (v === null ? [] : [i]));
    const result = [...column];
    for (let k = 1; k < known.length; k++) {
      const [a, b] = [known[k - 1], known[k]];
      for (let i = a + 1; i < b; i++)
        result[i] = column[a] + ((column[b] - column[a]) * (xs[i] - xs[a])) / (xs[b] - xs[a]);
    }
    return result;
  };

  /** Groups as three columns each: the mean of the runs that have a value, the most and the least of them. */
  const grouped = ([xs, ...columns]) => {
    const whole = columns.map((column) => filled(xs, column));
    const result = [xs];
    for (const group of DATA.groups) {
      const at = xs.map((_, i) => group.runs.map((run) => whole[run][i]).filter((v) => v !== null));
      result.push(
        at.map((values) => (values.length > 0 ? values.reduce((a, b) => a + b, 0) / values.length : null)),
        at.map((values) => (values.length > 0 ? Math.max(...values) : null)),
        at.map((values) => (values.length > 0 ? Math.min(...values) : null)),
      );
    }
    return result;
  };

  const bySeeds = () => element("seeds")?.checked === true;
  const entries = () => (bySeeds() ? DATA.groups : DATA.runs);
  let shown = entries().map(() => true);

  /** What a place of a curve is, beside the pointer. */
  const tooltip = (axis, metric) => {
    const box = document.createElement("div");
    box.className = "tooltip";
    box.hidden = true;
    return {
      hooks: {
        init: (plot) => plot.over.append(box),
        setCursor: (plot) => {
          const { idx, left } = plot.cursor;
          box.hidden = idx === null || idx === undefined || left < 0;
          if (box.hidden) return;
          const lines = plot.series.flatMap((series, i) => {
            const value = plot.data[i][idx];
            return i === 0 || !series.show || series.band || value === null || value === undefined
              ? []
              : [`${series.label}: ${exact(value)}${metric.unit === "" ? "" : ` ${metric.unit}`}`];
          });
          box.textContent = [`${axis} ${exact(plot.data[0][idx])}`, ...lines].join("\n");
          box.style.left = left > plot.over.clientWidth / 2 ? "4px" : "auto";
          box.style.right = left > plot.over.clientWidth / 2 ? "auto" : "4px";
        },
      },
    };
  };

  const seriesOf = (points) =>
    bySeeds()
      ? DATA.groups.flatMap(({ name, color, runs }, i) => [
          {
            label: runs.length > 1 ? `${name} (${runs.length} seeds)` : name,
            stroke: color,
            width: 2,
            show: shown[i],
            spanGaps: true,
            points: { show: points },
          },
          { label: "most", stroke: "transparent", band: true, show: shown[i], spanGaps: true, points: { show: false } },
          {
            label: "least",
            stroke: "transparent",
            band: true,
            show: shown[i],
            spanGaps: true,
            points: { show: false },
          },
        ])
      : DATA.runs.map(({ name, color }, i) => ({
          label: name,
          stroke: color,
          width: 1.5,
          spanGaps: true,
          show: shown[i],
          points: { show: points },
        }));
  const bands = () =>
    bySeeds() ? DATA.groups.map(({ color }, i) => ({ series: [3 * i + 2, 3 * i + 3], fill: `${color}33` })) : [];

  const draw = () => {
    for (const plot of plots) plot.destroy();
    charts.replaceChildren();
    const axis = element("axis").value;
    const ink = getComputedStyle(document.body).color;
    const line = getComputedStyle(document.documentElement).getPropertyValue("--line");
    plots = DATA.metrics.map((metric) => {
      const figure = document.createElement("figure");
      const caption = document.createElement("figcaption");
      caption.textContent = metric.name;
      figure.append(caption);
      charts.append(figure);
      const single = joined(metric, axis);
      const data = bySeeds() ? grouped(single) : single;
      const positive = data.slice(1).every((column) => column.every((v) => v === null || v > 0));
      const log = element("log").checked && positive;
      const names = [units[axis], metric.unit === "" ? metric.name : `${metric.name} (${metric.unit})`];
      const axes = [0, 1].map((i) => ({
        label: names[i],
        labelSize: 18,
        stroke: ink,
        grid: { stroke: line, width: 1 },
        ticks: { stroke: line },
        values: (_, ticks) => ticks.map(label),
        ...(i ? { size: 64 } : { size: 40 }),
      }));
      return new uPlot(
        {
          width: Math.max(260, figure.clientWidth),
          height: 260,
          scales: { x: { time: false }, y: { distr: log ? 3 : 1 } },
          axes,
          bands: bands(),
          cursor: { drag: { x: true, y: false } },
          legend: { show: false },
          plugins: [tooltip(axis, metric)],
          series: [{ label: axis }, ...seriesOf(data[0].length < 40)],
        },
        data,
        figure,
      );
    });
  };

  const drawLegend = () => {
    const legend = element("legend");
    for (const old of legend.querySelectorAll("label")) old.remove();
    for (const [i, { name, color, runs }] of entries().entries()) {
      const line = document.createElement("label");
      const box = document.createElement("input");
      box.type = "checkbox";
      box.checked = shown[i];
      box.addEventListener("change", () => {
        shown[i] = box.checked;
        const places = bySeeds() ? [3 * i + 1, 3 * i + 2, 3 * i + 3] : [i + 1];
        for (const plot of plots) for (const place of places) plot.setSeries(place, { show: box.checked });
      });
      const mark = document.createElement("i");
      mark.style.background = color;
      line.append(box, mark, runs?.length > 1 ? `${name} (${runs.length} seeds)` : name);
      legend.append(line);
    }
  };

  if (charts) {
    drawLegend();
    element("seeds")?.addEventListener("input", () => {
      shown = entries().map(() => true);
      drawLegend();
      draw();
    });
    for (const id of ["axis", "log", "smooth"]) element(id).addEventListener("input", draw);
    element("whole").addEventListener("click", draw);
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
