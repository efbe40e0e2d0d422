/** Training on rows that cannot be learned, and what is measured while training. */
import { expect, test } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import { openPlain } from "../../src/checkpoint/open.ts";
import { lines, nextModel } from "./next-model.ts";

const { at, run } = await nextModel("train-evaluation");

test.each([
  ["beyond.jsonl", "beyond.jsonl:2: label 3, but the model has 3 classes"],
  ["short.jsonl", "short.jsonl:1: the example is (1); the model takes (2)"],
])("train refuses --eval-data %s of a classifier", async (file, message) => {
  writeFileSync(at("beyond.jsonl"), lines([0, 3].map((label) => ({ x: [1, 2], label }))));
  writeFileSync(at("short.jsonl"), lines([{ x: [1], label: 0 }]));
  const argv = ["mlp", "--data", "classes.jsonl", "--eval-data", file, "--steps", "1", "-o", "never/", "-q"];
  const { err, code } = await run("train", argv);
  expect(err).toContain(message);
  expect(code).toBe(2);
});

test("train refuses a prompt without a completion", async () => {
  writeFileSync(at("asked.jsonl"), lines([{ prompt: "3>" }]));
  const { err, code } = await run("train", ["next", "--data", "asked.jsonl", "--steps", "1", "-o", "never/", "-q"]);
  expect(err).toContain("asked.jsonl:1: the row has a prompt and no completion, which is what is learned or scored\n");
  expect(code).toBe(2);
});

test("the log of a run holds every step and the evaluations", async () => {
  const argv = [
    "golden",
    "--data",
    "ids.jsonl",
    "--eval-data",
    "ids.jsonl",
    "--steps",
    "4",
    "--eval-every",
    "2",
    "--best",
    "best",
    "-o",
    "logged/",
    "--log",
    "run.jsonl",
    "-q",
  ];
  expect((await run("train", argv)).err).toBe(
    "train: warning: --eval-data ids.jsonl is trained on as well, so its loss is no held-out loss; give other rows, or --eval-split 0.1 in its place\n",
  );
  const events = readFileSync(at("run.jsonl"), "utf8")
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line));
  expect(events.filter(({ event }) => event === "step").map(({ step }) => step)).toEqual([1, 2, 3, 4]);
  expect(events.filter(({ event, group }) => event === "eval" && group === undefined).map(({ step }) => step)).toEqual([
    2, 4,
  ]);
  expect(events.at(-1)).toMatchObject({ event: "end", ok: true, steps: 4 });
  const best = await openPlain(at("best"));
  expect(best.tensors.size).toBeGreaterThan(0);
  best.close();
});
