/** `evaluate two-phase`: choosing on one stream, reporting from another, as a process. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runScript } from "../support/command.ts";

let folder = "";
const evaluate = (line: string) => runScript("evaluate", ["two-phase", ...line.split(" ")], folder);

/** A log as `adapt` writes it. */
function write(file: string, method: string, lr: number, seed: number, average: number, stream: string): void {
  const options = { lr, out: file, json: true, tasks: [stream], epochs: 2 };
  const metrics = { accuracy: { average, forgetting: 1 - average }, loss: { average: 2 - average } };
  const events = [
    { event: "start", script: "adapt", method, options, seed },
    { event: "step", step: 1, loss: 3 },
    { event: "end", ok: true, seconds: 2, metrics },
  ];
  writeFileSync(join(folder, file), events.map((event) => `${JSON.stringify(event)}\n`).join(""));
}

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "ingot-two-phase-"));
  for (const name of ["tuned", "reported", "empty"]) mkdirSync(join(folder, name));
  for (const [i, [method, lr, seed, average]] of (
    [
      ["er", 0.1, 1, 0.9],
      ["er", 0.2, 1, 0.8],
      ["seq", 0.1, 1, 0.7],
    ] as const
  ).entries())
    write(`tuned/${i}.log`, method, lr, seed, average, "one.jsonl,two.jsonl");
  write("reported/0.log", "er", 0.1, 1, 0.5, "three.jsonl,four.jsonl");
  write("reported/1.log", "seq", 0.1, 1, 0.6, "three.jsonl,four.jsonl");
  write("reported/2.log", "seq", 0.1, 2, 0.8, "three.jsonl,four.jsonl");
  write("other.log", "gem", 0.1, 1, 0.5, "three.jsonl,four.jsonl");
  writeFileSync(join(folder, "broken.log"), '{"event":"start","method":"er","options":{"tasks":["a"]}}\n');
  writeFileSync(join(folder, "plain.log"), '{"event":"start","options":{}}\n');
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

test("the first phase alone says what was chosen, and no score of the stream it was chosen on", async () => {
  const { code, text, err } = await evaluate("--tune tuned/");
  expect(code).toBe(0);
  expect(text.trimEnd().split("\n")).toEqual([
    "method  configurations  runs  chosen",
    "er      2               2     --lr 0.1",
    "seq     1               1     –",
  ]);
  expect(err).toContain("give those logs as --report");
  const json = await evaluate("--tune tuned/ --json -q");
  expect(json.text).not.toContain("0.9");
  expect(JSON.parse(json.text).methods[0]).toEqual({
    method: "er",
    chosen: { lr: 0.1 },
    configurations: 2,
    ignored: 0,
    runs: 2,
    seconds: 4,
  });
});

test("both phases: ranks before and after, and what each cost", async () => {
  const { code, text } = await evaluate("--tune tuned/ --report reported/ -q");
  expect(code).toBe(0);
  expect(text.trimEnd().split("\n")).toEqual([
    "method  reported      sd  runs  rank, tuned to reported  seconds, tuning  reporting  chosen",
    "seq       0.7000  0.1414     2                   2 to 1                2          4  –",
    "er        0.5000       –     1                   1 to 2                4          2  --lr 0.1",
  ]);
});

test("forgetting and losses are better where they are lower", async () => {
  for (const line of ["--metric forgetting", "--score loss"]) {
    const { text } = await evaluate(`--tune tuned/ --report reported/ ${line} --json -q`);
    const { better, methods } = JSON.parse(text);
    expect([better, methods[0].chosen, methods[0].reported.rank]).toEqual(["lower", { lr: 0.1 }, 2]);
  }
});

test("a stream that settings were chosen on is no other stream: its figure is told to be too good", async () => {
  const { code, err, text } = await evaluate("--tune tuned/ --report tuned/ --json");
  expect(code).toBe(0);
  expect(err).toContain("is of a stream that settings were chosen on");
  expect(err).toContain("er: 1 runs to report have settings that were not chosen");
  expect(JSON.parse(text)).toMatchObject({ same_stream: true, methods: [{ reported: { mean: 0.9 } }, {}] });
});

test.each([
  ["--tune none.log", "none.log cannot be read", "--log"],
  ["--tune empty", "empty has no file named .log", "--log"],
  ["--tune plain.log", "plain.log is not the log of a stream", "adapt --tasks"],
  ["--tune broken.log", "did not come to its end", "leave it out"],
  ["--tune tuned/ --metric averag", "tuned/0.log has no metric averag", "did you mean average?"],
  ["--tune tuned/ --report other.log", "gem has no run in --tune", "choose its settings"],
])("refused: %s", async (line, problem, hint) => {
  const { code, err } = await evaluate(line);
  expect(code).toBe(2);
  expect(err).toContain(problem);
  expect(err).toContain(hint);
});
