/** Trials as lines of a file: what a killed search goes on from. */
import { afterAll, expect, test } from "bun:test";
import { appendFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  LAST,
  readTrials,
  type SearchIdentity,
  type Trial,
  TrialWriter,
} from "../../../src/merge/search/trial-file.ts";

const folder = mkdtempSync(join(tmpdir(), "ingot-trials-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const IDENTITY: SearchIdentity = {
  search: "random",
  seed: 1,
  objectives: ["loss", "accuracy@a"],
  space: [
    { kind: "real", name: "weight", low: 0, high: 1, default: 0.5 },
    { kind: "choice", name: "normalize", choices: [true, false], default: true },
  ],
  settings: { recipe: "merge_method: ties\n" },
};

const trial = (number: number, more: Partial<Trial> = {}): Trial => ({
  trial: number,
  point: { values: [1 / 3, false] },
  measures: [2.25, 0.1],
  seconds: 0.5,
  ...more,
});

test("trials come back as they were, numbers to the bit", () => {
  const file = join(folder, "whole.jsonl");
  const trials = [
    trial(0),
    trial(1, { measures: [Number.NaN, Number.NaN], failed: "weights sum to 0" }),
    trial(LAST, { point: { values: [0.1, true], extra: { mutations: "1:2" } } }),
  ];
  const writer = new TrialWriter(file, IDENTITY);
  for (const one of trials) writer.add(one);
  expect([...readTrials([file], IDENTITY).values()]).toEqual(trials);
  expect(JSON.parse(readFileSync(file, "utf8").split("\n")[1]!)).toEqual({
    trial: 0,
    point: { weight: 1 / 3, normalize: false },
    scores: { loss: 2.25, "accuracy@a": 0.1 },
    seconds: 0.5,
  });
});

test("a line that a killed process left half is made again", () => {
  const file = join(folder, "cut.jsonl");
  new TrialWriter(file, IDENTITY).add(trial(0));
  const whole = readFileSync(file, "utf8");
  appendFileSync(file, '{"trial":1,"poi');
  expect([...readTrials([file], IDENTITY).keys()]).toEqual([0]);
  // Reading alone changes nothing: a worker may still be writing, and a dry run only looks.
  expect(readFileSync(file, "utf8")).toBe(`${whole}{"trial":1,"poi`);
  new TrialWriter(file, IDENTITY);
  expect(readFileSync(file, "utf8")).toBe(whole);
  writeFileSync(file, '{"search":"ran');
  new TrialWriter(file, IDENTITY).add(trial(0));
  expect(readFileSync(file, "utf8")).toBe(whole);
});

test("files of several workers are read together, and those that are not there are empty", () => {
  const files = [0, 1].map((i) => join(folder, `worker-${i}.jsonl`));
  for (const [i, file] of files.entries()) new TrialWriter(file, IDENTITY).add(trial(i));
  expect([...readTrials([...files, join(folder, "none.jsonl")], IDENTITY).keys()]).toEqual([0, 1]);
});

test("trials of another search, and other files, are refused", () => {
  const file = join(folder, "other.jsonl");
  new TrialWriter(file, IDENTITY);
  const refusal = (identity: SearchIdentity) => () => readTrials([file], identity);
  expect(refusal({ ...IDENTITY, seed: 2 })).toThrow(
    `${file} holds trials of another search: its seed is 1, this one's 2`,
  );
  expect(refusal({ ...IDENTITY, settings: { recipe: "merge_method: linear\n" } })).toThrow("its recipe is");
  writeFileSync(file, '{"rows": 3}\n');
  expect(refusal(IDENTITY)).toThrow("holds trials of another search: its rows is 3, this one's not there");
  writeFileSync(file, "a,b\n1,2\n");
  expect(refusal(IDENTITY)).toThrow(`${file}, line 1 is not JSON`);
});
