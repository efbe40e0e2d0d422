/** Fronts of searches in reports. */
import { expect, test } from "bun:test";
import { toSvg } from "../../src/report/figure.ts";
import { frontFigures, ticksOf } from "../../src/report/front-figure.ts";
import { toHtml } from "../../src/report/page/page.ts";
import { runsOf } from "../../src/report/read.ts";
import { toMarkdown } from "../../src/report/tables.ts";
import { lines } from "./logs.ts";

const TRIALS = [
  { a: 1, "b<": 3 },
  { a: 2, "b<": 2.5 },
  { a: 3, "b<": 3.5 },
  { a: null, "b<": null },
];
const runs = runsOf(
  "search.log",
  lines([
    { event: "start", run: "r", script: "merge", options: {} },
    ...TRIALS.map((scores, step) => ({ event: "step", step, seconds: step, ...scores })),
    {
      event: "front",
      objectives: ["a", "b<"],
      trials: [0, 1].map((trial) => ({ trial, scores: TRIALS[trial], point: { weight: trial / 2 } })),
    },
    { event: "end", ok: true },
  ]),
);

test("every known trial is a point, those of the front are joined", () => {
  const [figure, ...more] = frontFigures(runs[0]!);
  expect(more).toEqual([]);
  expect(figure!.match(/<circle/g)).toHaveLength(3 + 2);
  const [, points] = /<polyline points="([^"]+)"/.exec(figure!)!;
  const places = points!.split(" ").map((pair) => pair.split(",").map(Number));
  expect(places[0]![0]!).toBeLessThan(places[1]![0]!); // more of a is further right
  expect(places[0]![1]!).toBeLessThan(places[1]![1]!); // more of b is further up
  expect(figure).toContain("b&lt;");
  expect(figure).not.toContain("b<<");
});

test("figure, page and tables have it", async () => {
  expect(await toSvg(runs, "step")).toContain("front of search");
  expect(toHtml(runs)).toContain("<h2>Fronts</h2><svg");
  expect(toMarkdown(runs)).toContain("| 1 | 2 | 2.5 | 0.5 |");
});

test("an event of another form is no front", () => {
  for (const odd of [{}, { objectives: ["a"], trials: [] }, { objectives: ["a", "b"], trials: [3] }]) {
    const [run] = runsOf("x.log", lines([{ event: "start" }, { event: "front", ...odd }]));
    expect(run!.fronts).toEqual([]);
  }
});

test("ticks are round", () => {
  expect(ticksOf(0, 1)).toEqual([0, 0.2, 0.4, 0.6, 0.8, 1]);
  expect(ticksOf(2.31, 2.39)).toEqual([2.32, 2.34, 2.36, 2.38]);
  expect(ticksOf(-7, 8)).toEqual([-5, 0, 5]);
});
