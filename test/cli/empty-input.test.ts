/** Inputs that hold nothing: the message says what they are, and blames a pipe only where there is one. */
import { expect, test } from "bun:test";
import { closeSync, openSync, writeFileSync } from "node:fs";
import { emptyInput } from "../../src/input-end.ts";
import { runShell } from "../support/command.ts";
import { trainLab } from "./train-lab.ts";

const { at, folder } = trainLab();

const PIPE = "stdin was empty\n  hint: the command before the pipe failed; its message is above\n";
const NOTHING =
  "stdin was empty: it is /dev/null\n  hint: nothing was piped in: pipe something, or name a file in its place\n";
const FILE = "stdin was empty: it is none.jsonl\n  hint: the file has 0 bytes; is it the right one?\n";

test.each([
  ["rows", "$TRAIN llama-tied --data - --steps 1 -o never/"],
  ["a model", "$TRAIN --data llama-tied.jsonl --steps 1 -o never/"],
  ["a model to merge", "$MERGE - llama-tied --method linear -o never/"],
  ["rows to evaluate", "$EVALUATE llama-tied --data -"],
  ["a log", "$REPORT --md"],
])(
  "%s",
  async (_, line) => {
    writeFileSync(at("none.jsonl"), "");
    for (const [from, message] of [
      ["true | ", PIPE],
      ["</dev/null ", NOTHING],
      ["<none.jsonl ", FILE],
    ] as const) {
      const { err, code } = await runShell(`${from}${line}`, folder);
      expect([err.replace(/^\w+: /, ""), code]).toEqual([message, 2]);
    }
  },
  60_000,
);

test("blank lines are no rows, and are not called empty", async () => {
  const { err } = await runShell("printf '\\n\\n' | $TRAIN llama-tied --data - --steps 1 -o never/", folder);
  expect(err).toStartWith("train: stdin holds no rows\n");
}, 120_000);

test("a checkpoint in a file that was cut is not the fault of a pipe", async () => {
  const { err, code } = await runShell(
    "head -c 100 llama-tied/model.safetensors > cut.safetensors; $MERGE - llama-tied --method linear -o n/ < cut.safetensors",
    folder,
  );
  expect(err).toMatch(
    /^merge: stdin was cut short: .*\n {2}hint: cut.safetensors was not written to its end, or was cut since\n$/,
  );
  expect(code).toBe(2);
}, 120_000);

test("a descriptor that is known by its path is named once", () => {
  const fd = openSync("/dev/null", "r");
  expect(emptyInput("/dev/null", fd).message).toBe("/dev/null was empty");
  closeSync(fd);
});
