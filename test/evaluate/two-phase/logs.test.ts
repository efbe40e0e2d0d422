/** Runs of streams from logs: one, several in a row, resumed, made again, and what is no such log. */
import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readLog, readRuns } from "../../../src/evaluate/two-phase/runs.ts";

const folder = mkdtempSync(join(tmpdir(), "ingot-logs-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const start = (lr: number, seed: number, more = {}) => ({
  ...{ event: "start", method: "er", seed, options: { tasks: ["a.jsonl", "b.jsonl"], lr, out: "m", ...more } },
});
const end = (accuracy: number, seconds: number) => ({
  ...{ event: "end", ok: true, seconds, metrics: { accuracy: { average: accuracy } } },
});
const failed = (seconds: number) => ({ event: "end", ok: false, seconds, message: "stopped" });

function log(name: string, ...events: object[]): string {
  const lines = events.flatMap((event) => [event, { event: "step", step: 1 }]).map((event) => JSON.stringify(event));
  writeFileSync(join(folder, name), `${lines.join("\n")}\n`);
  return join(folder, name);
}
const told = (file: string) =>
  readLog(file).map(({ configuration: { lr }, seed, metrics, seconds }) => [
    lr,
    seed,
    metrics.accuracy!.average,
    seconds,
  ]);

test("all runs of a log count, each with its own settings and seconds", () => {
  const file = log("all.log", start(0.1, 1), end(0.5, 3), start(0.1, 2), end(0.6, 4), start(0.2, 1), end(0.7, 5));
  expect(told(file)).toEqual([
    [0.1, 1, 0.5, 3],
    [0.1, 2, 0.6, 4],
    [0.2, 1, 0.7, 5],
  ]);
  const [run] = readLog(file);
  expect(run).toMatchObject({ method: "er", configuration: { lr: 0.1 }, stream: '["a.jsonl","b.jsonl"]' });
});

test("a resumed run counts once with the seconds of both parts, also where the first was killed", () => {
  const resumed = start(0.1, 1, { resume: true });
  expect(told(log("resumed.log", start(0.1, 1), failed(3), resumed, end(0.5, 4)))).toEqual([[0.1, 1, 0.5, 7]]);
  expect(told(log("killed.log", start(0.1, 1), resumed, end(0.5, 4)))).toEqual([[0.1, 1, 0.5, 4]]);
});

test("of a run that was made again the last counts; one that was given up does not, unless it is the last", () => {
  const again = log("again.log", start(0.1, 1), end(0.5, 3), start(0.2, 1), failed(9), start(0.1, 1), end(0.8, 2));
  expect(told(again)).toEqual([[0.1, 1, 0.8, 2]]);
  const open = log("open.log", start(0.1, 1), end(0.5, 3), start(0.2, 1));
  expect(() => readLog(open)).toThrow("the run did not come to its end");
});

test("folders give the runs of all their logs, and other logs are refused", () => {
  const other = mkdtempSync(join(folder, "logs-"));
  writeFileSync(join(other, "b.log"), "");
  expect(() => readRuns([other])).toThrow("is not the log of a stream of tasks");
  const lines = [start(0.1, 1), end(0.5, 3), start(0.2, 1), end(0.4, 3)].map((event) => JSON.stringify(event));
  writeFileSync(join(other, "b.log"), lines.join("\n"));
  writeFileSync(join(other, "a.log"), lines.slice(0, 2).join("\n"));
  expect(readRuns([other]).map(({ configuration: { lr } }) => lr)).toEqual([0.1, 0.1, 0.2]);
  writeFileSync(join(other, "train.log"), JSON.stringify({ event: "start", options: { data: ["a"] } }));
  expect(() => readRuns([other])).toThrow("train.log is not the log of a stream of tasks");
});
