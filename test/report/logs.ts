/** Logs of runs for the tests of reports. */
import { runsOf } from "../../src/report/read.ts";

export const lines = (events: readonly unknown[]): string => events.map((event) => JSON.stringify(event)).join("\n");

export const start = {
  event: "start",
  run: "r1",
  script: "train",
  options: { lr: 0.1, steps: 3 },
  seed: 0,
  version: "1",
};

export const step = (n: number, loss: number | null) => ({
  event: "step",
  step: n,
  seconds: n / 10,
  tokens: 100,
  loss,
  lr: 0.1,
});

export const done = { event: "end", ok: true, out: "model/" };

/** A whole run of three steps, the second of which has no loss. */
export const log = lines([
  start,
  step(1, 3),
  step(2, null),
  step(3, 1),
  { event: "eval", step: 3, name: "loss", group: "a", value: 2 },
  done,
]);

/** An unfinished run at another rate, with the table of an evaluation. */
export const other = lines([
  { ...start, options: { lr: 0.2, steps: 3, out: "b/" } },
  step(1, 4),
  { event: "result", value: { rows: [{ metric: "loss", value: 0.5 }] } },
]);

export const runs = [...runsOf("a.jsonl", log), ...runsOf("b.jsonl", other)];
