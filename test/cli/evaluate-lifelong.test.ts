/** `evaluate lifelong`: metrics of a log of blocks, as a process. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runScript } from "../support/command.ts";

type Line = readonly [block: number, type: string, task: string, performance: number];

let folder = "";
const evaluate = (line: string) => runScript("evaluate", ["lifelong", ...line.split(" ")], folder);
const write = (name: string, lines: readonly Line[]) =>
  writeFileSync(
    join(folder, name),
    lines.map(([block, type, task, performance]) => `${JSON.stringify({ block, type, task, performance })}\n`).join(""),
  );

const LOG: Line[] = [
  [0, "test", "a", 0.1],
  [0, "test", "b", 0.2],
  [1, "train", "a", 0.5],
  [1, "train", "a", 0.8],
  [2, "test", "a", 0.8],
  [2, "test", "b", 0.3],
  [3, "train", "b", 0.9],
  [4, "test", "a", 0.6],
  [4, "test", "b", 0.9],
];

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "ingot-lifelong-"));
  write("log.jsonl", LOG);
  write(
    "expert.jsonl",
    LOG.filter(([, type, task]) => type === "train" && task === "a"),
  );
  write("other.jsonl", [[0, "train", "c", 1]]);
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

test("a log, an expert, and a known range", async () => {
  const { code, text, err } = await evaluate("log.jsonl --expert expert.jsonl --range 0,1 --json -q");
  expect([code, err]).toEqual([0, ""]);
  const found = JSON.parse(text);
  expect(found).toMatchObject({ log: "log.jsonl", blocks: 5, unrecovered: 0 });
  expect(found.tasks.a.performance_maintenance).toBeCloseTo(-20, 9);
  expect(found.tasks.a).toMatchObject({ relative_performance: 1, sample_efficiency: 1 });
  expect(found.tasks.b.forward_transfer_contrast).toBeCloseTo(0.2, 9);
  expect(found.tasks.b.forward_transfer_ratio).toBeCloseTo(1.5, 9);
  expect(found.lifetime.backward_transfer_ratio).toBeCloseTo(0.75, 9);
});

test("as a table: what the log says nothing about has no column", async () => {
  const { code, text } = await evaluate("log.jsonl --range 0,1 -q");
  expect(code).toBe(0);
  expect(text.trimEnd().split("\n")).toEqual([
    "task       PM  FT contrast  FT ratio  BT contrast  BT ratio",
    "a     -20.000            –         –       -0.143     0.750",
    "b           –        0.200     1.500            –         –",
    "all   -20.000        0.200     1.500       -0.143     0.750",
  ]);
});

test.each([
  [{ block: 0, type: "train", task: "a" }, "bad.jsonl:2: performance should be a finite number, found nothing", ""],
  [
    { block: 0.5, type: "train", task: "a", performance: 1 },
    "bad.jsonl:2: block should be a whole number, found 0.5",
    "",
  ],
  [{ event: "start", script: "adapt" }, "bad.jsonl:2: block should be a whole number, found nothing", "adapt --json"],
  [{ block: 0, type: "play", task: "a", performance: 1 }, 'type should be train or test, found "\\"play\\""', ""],
  [{ block: 0, type: "test", task: "a", performance: 1 }, "block 0 is one of train before", "one type"],
  [{ block: 0, type: "train", task: "b", performance: 1 }, "block 0 trains a and b", "one task"],
])("refused: %j", async (line, problem, hint) => {
  writeFileSync(
    join(folder, "bad.jsonl"),
    `${JSON.stringify({ block: 0, type: "train", task: "a", performance: 1 })}\n${JSON.stringify(line)}\n`,
  );
  const { code, err } = await evaluate("bad.jsonl");
  expect(code).toBe(2);
  expect(err).toContain(problem);
  expect(err).toContain(hint);
});

test.each([
  ["none.jsonl", "none.jsonl", ""],
  ["log.jsonl --range 1,0", "--range 1,0: expected the lowest", "--range 0,1"],
  ["log.jsonl --range 0.2,1", "performances go from 0.1 to 0.9", "holds them all"],
  ["log.jsonl --expert other.jsonl", "--expert other.jsonl trains c", "these are a, b"],
])("refused: %s", async (line, problem, hint) => {
  const { code, err } = await evaluate(line);
  expect(code).toBe(2);
  expect(err).toContain(problem);
  expect(err).toContain(hint);
});
