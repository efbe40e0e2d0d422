/** Results for machines: one JSON value on stdout, whose keys are in snake_case in every script. */
import { expect, test } from "bun:test";
import { existsSync, statSync } from "node:fs";
import { runShell } from "../support/command.ts";
import { trainLab } from "./train-lab.ts";

const { at, folder, run } = trainLab();
const TRAIN = "--data llama-tied.jsonl --eval-data llama-tied.jsonl --steps 1 --batch-size 2".split(" ");

/** Hold names out of files and of dtypes. */
const OPEN = ["options", "config", "lineage", "dtypes"];

/** Every key of a value of JSON, but those below `open`, whose keys are names out of files. */
function keysOf(value: unknown, open: readonly string[] = OPEN): string[] {
  if (Array.isArray(value)) return value.flatMap((item) => keysOf(item, open));
  if (typeof value !== "object" || value === null) return [];
  return Object.entries(value).flatMap(([key, inner]) => [key, ...(open.includes(key) ? [] : keysOf(inner, open))]);
}

test.each([
  ["merge", ["llama-tied", "llama-tied", "--method", "linear", "-o", "merged/"]],
  ["merge", ["llama-tied", "llama-tied", "--method", "linear", "--check"]],
  ["merge", ["llama-tied", "llama-tied", "--method", "linear", "--explain"]],
  ["merge", ["llama-tied", "llama-tied", "--method", "linear", "-n"]],
  ["inspect", ["llama-tied", "--stats"]],
  ["inspect", ["llama-tied", "--check"]],
  ["inspect", ["llama-tied", "--diff", "llama-tied"]],
  ["train", ["llama-tied", ...TRAIN, "-o", "trained/"]],
  ["train", ["llama-tied", ...TRAIN, "-n"]],
  ["evaluate", ["llama-tied", "--data", "llama-tied.jsonl", "--metric", "loss"]],
])(
  "%s %j",
  async (script, argv) => {
    const { text, err } = await run(script, [...argv, "--json"]);
    expect(err).not.toContain("hint:");
    const values = script === "evaluate" ? text.trim().split("\n") : [text];
    expect(values.flatMap((value) => keysOf(JSON.parse(value))).filter((key) => /[A-Z-]/.test(key))).toEqual([]);
  },
  30_000,
);

test("merge says what it wrote", async () => {
  const { text, code } = await run("merge", ["llama-tied", "llama-tied", "--method", "linear", "--json", "-o", "two/"]);
  expect(code).toBe(0);
  const { tensors } = JSON.parse((await run("inspect", ["two", "--json"])).text);
  const found = JSON.parse(text);
  expect(found).toEqual({
    out: "two/",
    method: "linear",
    bytes: statSync(at("two/model.safetensors")).size,
    tensors: tensors.length,
    values: tensors.reduce((sum: number, { parameters }: { parameters: number }) => sum + parameters, 0),
    seconds: expect.any(Number),
    remarks: [expect.stringContaining("llama-tied is listed more than once")],
  });
}, 30_000);

test("merge refuses two results on stdout", async () => {
  const { err, code } = await runShell("$MERGE llama-tied --method passthrough --json > both", folder);
  expect(code).toBe(2);
  expect(err).toContain("--json and the merged checkpoint both want stdout");
  expect(existsSync(at("both")) && statSync(at("both")).size).toBe(0);
}, 30_000);
