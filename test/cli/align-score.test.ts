/** `align score` as a process: answers in, rewards out. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runScript, startScript } from "../support/command.ts";

let folder = "";
const at = (name: string) => join(folder, name);
const score = (...words: string[]) => runScript("align", ["score", ...words], folder);
const ROW = { prompt: "2+2=", completion: "4", level: 1 };
const ANSWERS = [
  { prompt: "2+2=", answer: "4", tokens: 1, row: ROW, place: "rows.jsonl:1" },
  { prompt: "2+2=", answer: "so 4", tokens: 4, truncated: true, row: ROW, place: "rows.jsonl:1" },
  { prompt: "2+2=", answer: "5", completion: "4" },
];

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "ingot-score-"));
  writeFileSync(at("answers.jsonl"), ANSWERS.map((row) => `${JSON.stringify(row)}\n`).join(""));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

test("rewards come out in the order of the answers, with what each term says", async () => {
  const { code, text, err } = await score(
    "answers.jsonl",
    "--reward",
    "exact + 0.5*number",
    "--reward",
    "-1*exact:level",
  );
  expect(code).toBe(0);
  expect(
    text
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line)),
  ).toEqual([
    { reward: 1.5, parts: { exact: 1, number: 1, "exact-2": 0 } },
    { reward: 0.5, parts: { exact: 0, number: 1, "exact-2": 0 } },
    { reward: 0, parts: { exact: 0, number: 0, "exact-2": null } },
  ]);
  expect(err).toContain(
    "3 answers, mean reward 0.6667 (exact 0.3333; number 0.6667 times 0.5; exact-2 0 times -1, 1 not judged)",
  );
});

test("the command judges answers as --verify, line by line or to a file", async () => {
  const inner = `'${process.execPath}' '${join(import.meta.dir, "../../scripts/align.ts")}' score --reward number -q`;
  const { code, err } = await score("answers.jsonl", "--verify", inner, "-o", "rewards.jsonl");
  expect([code, err]).toEqual([0, expect.stringContaining("rewards.jsonl (3 rewards)")]);
  const lines = readFileSync(at("rewards.jsonl"), "utf8").trimEnd().split("\n");
  expect(lines.map((line) => JSON.parse(line).reward)).toEqual([1, 1, 0]);
});

test("--json gives the means, -n what would be judged by what", async () => {
  const { text } = await score("answers.jsonl", "--reward", "exact", "--json");
  expect(JSON.parse(text)).toEqual({
    answers: 3,
    mean: 1 / 3,
    terms: [{ name: "exact", weight: 1, mean: 1 / 3, judged: 3 }],
  });
  expect((await score("answers.jsonl", "--reward", "2*exact - length:8", "-n")).text).toBe(
    "3 answers, 2*exact + -1*length\n",
  );
});

test.each([
  [["answers.jsonl"], "nothing judges the answers"],
  [["answers.jsonl", "--reward", "overlong:8"], "answers.jsonl:3: tokens is not there, and a reward counts"],
  [["answers.jsonl", "--reward", "exakt"], "did you mean exact?"],
  [
    ["answers.jsonl", "--reward", "exact", "--field", "text"],
    "answers.jsonl:1: text should be the text of the answer, found nothing",
  ],
  [["answers.jsonl", "--reward", "exact", "-o", "answers.jsonl"], "--out: answers.jsonl is read by this run"],
  [["answers.jsonl", "--verify", "echo 1", "-o", "x.jsonl"], "rows.jsonl:1: echo 1 ended after 1 of 3 rewards"],
])("%j is refused", async (words, said) => {
  const { code, err } = await score(...words);
  expect([code, err]).toEqual([2, expect.stringContaining(said)]);
  expect(existsSync(at("x.jsonl"))).toBe(false);
});

test.each([
  ['{"answer": "4"}', "unknown row with no keys"],
  ["[1]", "expected an object, found an array"],
  ['{"prompt": "q", "answer": 4}', "answer should be the text of the answer, found the number 4"],
  ['{"prompt": "q", "answer": "4", "tokens": -1}', "tokens should be a count"],
  ['{"prompt": "q", "answer": "4", "row": 3}', "expected an object, found the number 3"],
  ['{"prompt": "q", "answer": "4", "truncated": "no"}', "truncated should be true or false"],
])("a line %s is refused by its place", async (line, said) => {
  writeFileSync(at("bad.jsonl"), `{"prompt": "q", "answer": "4", "completion": "4"}\n${line}\n`);
  const { code, err } = await score("bad.jsonl", "--reward", "exact");
  expect([code, err]).toEqual([2, expect.stringContaining(`bad.jsonl:2: `)]);
  expect(err).toContain(said);
});

test("Ctrl-C ends the command with all that it started", async () => {
  const line = `sleep 100 & echo $! >> pids; echo $$ >> pids; wait`;
  const child = startScript("align", ["score", "answers.jsonl", "--verify", line], folder);
  while (!existsSync(at("pids")) || readFileSync(at("pids"), "utf8").split("\n").length < 3) await Bun.sleep(20);
  child.kill("SIGINT");
  expect(await child.exited).toBe(130);
  const isRunning = (pid: number) => {
    try {
      return readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]![0] !== "Z";
    } catch {
      return false;
    }
  };
  const pids = readFileSync(at("pids"), "utf8").trim().split("\n").map(Number);
  for (let i = 0; i < 100 && pids.some(isRunning); i++) await Bun.sleep(20);
  expect(pids.filter(isRunning)).toEqual([]);
});
