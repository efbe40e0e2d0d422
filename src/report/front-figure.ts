/** The front of a search over several objectives as a figure: every trial as a point, those that none beats joined. */
import { escaped } from "./page/html.ts";
import type { Run } from "./read.ts";

export const FRONT_WIDTH = 720;
export const FRONT_HEIGHT = 360;
const MARGIN = { left: 70, right: 20, top: 30, bottom: 45 };
/** Ticks of an axis, about. */
const TICKS = 5;

interface Dot {
  readonly x: number;
  readonly y: number;
  readonly label: string;
}

/** Round numbers that span the values: 1, 2 or 5 times a power of ten apart. */
export function ticksOf(low: number, high: number): number[] {
  const rough = (high - low || Math.abs(high) || 1) / TICKS;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * ([1, 2, 5, 10].find((times) => times * power >= rough) ?? 10);
  const first = Math.ceil(low / step - 1e-9);
  const last = Math.floor(high / step + 1e-9);
  return Array.from({ length: Math.max(0, last - first + 1) }, (_, i) => Number(((first + i) * step).toPrecision(12)));
}

/** From values to places between two ends, with a twentieth of room at each. */
function scale(values: readonly number[], from: number, to: number) {
  const [least, most] = [Math.min(...values), Math.max(...values)];
  const room = (most - least || Math.abs(most) || 1) / 20;
  const [low, high] = [least - room, most + room];
  return { ticks: ticksOf(low, high), at: (value: number) => from + ((value - low) / (high - low)) * (to - from) };
}

const number = (value: unknown): number => (typeof value === "number" ? value : Number.NaN);
const known = ({ x, y }: Dot): boolean => Number.isFinite(x) && Number.isFinite(y);

/** All trials of the run at two objectives, by the curves that the search left. */
function trialsOf(run: Run, x: string, y: string): Dot[] {
  const [across, up] = [run.series.get(x), run.series.get(y)];
  if (!across || !up) return [];
  const at = new Map(up.step.map((step, i) => [step, up.value[i]!]));
  return across.step
    .map((step, i) => ({ x: across.value[i]!, y: at.get(step) ?? Number.NaN, label: `trial ${step}` }))
    .filter(known);
}

function plot(run: Run, front: readonly Dot[], names: readonly [string, string]): string {
  const others = trialsOf(run, ...names);
  const all = [...others, ...front];
  const [right, bottom] = [FRONT_WIDTH - MARGIN.right, FRONT_HEIGHT - MARGIN.bottom];
  const across = scale(
    all.map(({ x }) => x),
    MARGIN.left,
    right,
  );
  const up = scale(
    all.map(({ y }) => y),
    bottom,
    MARGIN.top,
  );
  const place = ({ x, y }: Dot): [string, string] => [across.at(x).toFixed(1), up.at(y).toFixed(1)];
  const circle = (dot: Dot, radius: number, fill: string) => {
    const [cx, cy] = place(dot);
    return `<circle cx="${cx}" cy="${cy}" r="${radius}" fill="${fill}"><title>${escaped(dot.label)}</title></circle>`;
  };
  const lines = [
    ...across.ticks.map((tick) => {
      const x = across.at(tick).toFixed(1);
      return `<path d="M${x} ${MARGIN.top}V${bottom}" stroke="#eee"/><text x="${x}" y="${bottom + 16}" text-anchor="middle">${tick}</text>`;
    }),
    ...up.ticks.map((tick) => {
      const y = up.at(tick).toFixed(1);
      return `<path d="M${MARGIN.left} ${y}H${right}" stroke="#eee"/><text x="${MARGIN.left - 6}" y="${y}" dy="4" text-anchor="end">${tick}</text>`;
    }),
  ];
  const order = [...front].sort((a, b) => a.x - b.x);
  const path = order.map((dot) => place(dot).join(",")).join(" ");
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${FRONT_WIDTH} ${FRONT_HEIGHT}" width="${FRONT_WIDTH}" height="${FRONT_HEIGHT}" font-family="sans-serif" font-size="11">`,
    `<rect width="${FRONT_WIDTH}" height="${FRONT_HEIGHT}" fill="white"/>`,
    ...lines,
    `<text x="${MARGIN.left}" y="18" font-size="13">${escaped(`front of ${run.name}`)}</text>`,
    `<text x="${(MARGIN.left + right) / 2}" y="${FRONT_HEIGHT - 10}" text-anchor="middle">${escaped(names[0])}</text>`,
    `<text x="14" y="${(MARGIN.top + bottom) / 2}" text-anchor="middle" transform="rotate(-90 14 ${(MARGIN.top + bottom) / 2})">${escaped(names[1])}</text>`,
    ...others.map((dot) => circle(dot, 2.5, "#bbb")),
    `<polyline points="${path}" fill="none" stroke="#0072b2"/>`,
    ...front.map((dot) => circle(dot, 4, "#0072b2")),
    "</svg>",
  ].join("");
}

/** Figures of the fronts of a run: the first objective across, each other one up. */
export function frontFigures(run: Run): string[] {
  return run.fronts.flatMap(({ objectives, trials }) => {
    const [x, ...others] = objectives;
    return others.flatMap((y) => {
      const front = trials
        .map(({ trial, scores }) => ({
          x: number((scores as Record<string, unknown>)[x!]),
          y: number((scores as Record<string, unknown>)[y]),
          label: `trial ${trial}`,
        }))
        .filter(known);
      return front.length > 0 ? [plot(run, front, [x!, y])] : [];
    });
  });
}
