/** What is to be said of a run while it runs. */
import { humanTime, shortNumber } from "../../text/format.ts";
import { visible } from "../../text/visible.ts";
import { isObject, type RunBuilder } from "../run-builder.ts";
import { sparkline } from "./sparkline.ts";

export interface FollowOptions {
  /** The metric; the first of the run's, when left out: mostly its loss. */
  readonly metric: string | undefined;
  /** Columns of the terminal. */
  readonly width: number;
  readonly ascii: boolean;
}

export interface RunState {
  readonly status: "running" | "ended" | "failed";
  readonly step: number | undefined;
  /** Steps of the whole run, where its options say so. */
  readonly steps: number | undefined;
  readonly metric: string | undefined;
  readonly last: number | undefined;
  readonly least: number | undefined;
  /** Seconds until the end at the mean pace so far. */
  readonly left: number | undefined;
}

/** The metric that is looked at. */
const seriesOf = (run: RunBuilder, metric: string | undefined) => {
  const name = metric ?? (run.series.has("loss") ? "loss" : [...run.series.keys()][0]);
  return { name, series: name === undefined ? undefined : run.series.get(name) };
};

export function stateOf(run: RunBuilder, metric: string | undefined): RunState {
  const { name, series } = seriesOf(run, metric);
  const known = series?.value.filter(Number.isFinite) ?? [];
  const options = isObject(run.start.options) ? run.start.options : {};
  const steps = typeof options.steps === "number" ? options.steps : undefined;
  const { step, seconds, end } = run;
  const isOpen = end === undefined && steps !== undefined && step !== undefined && step > 0 && seconds !== undefined;
  return {
    status: end === undefined ? "running" : end.ok === true ? "ended" : "failed",
    step,
    steps,
    metric: name,
    last: known.at(-1),
    least: known.length > 0 ? known.reduce((a, b) => Math.min(a, b)) : undefined,
    left: isOpen ? (seconds / step) * Math.max(0, steps - step) : undefined,
  };
}

/** What matters of a run in one line of words. */
export function stateText(name: string, run: RunBuilder, metric: string | undefined): string {
  const { status, step, steps, metric: shown, last, least, left } = stateOf(run, metric);
  const parts = [
    status,
    ...(step === undefined ? [] : [`step ${step}${steps === undefined ? "" : `/${steps}`}`]),
    ...(last === undefined ? [] : [`${shown} ${shortNumber(last)}, least ${shortNumber(least!)}`]),
    ...(left === undefined ? [] : [`${humanTime(left)} left`]),
    ...(status === "failed" ? [String(run.end?.error ?? "").split("\n")[0]!] : []),
  ];
  return visible(`${name}: ${parts.filter((part) => part !== "").join("  ")}`);
}

/** The lines of a run on a terminal, none longer than its width: words, then the curve. */
export function blockOf(name: string, run: RunBuilder, { metric, width, ascii }: FollowOptions): string[] {
  const { series } = seriesOf(run, metric);
  const words = stateText(name, run, metric).replaceAll("\n", " ");
  const curve = series ? [sparkline(series.value, Math.max(1, width - 3), ascii)] : [];
  return [cut(words, width - 1), ...curve.map((line) => `  ${line}`)];
}

function cut(text: string, width: number): string {
  if (Bun.stringWidth(text) <= width) return text;
  const letters = [...text];
  while (letters.length > 0 && Bun.stringWidth(letters.join("")) > width - 3) letters.pop();
  return `${letters.join("")}...`;
}
