/** Results for machines: one JSON value on stdout. Their keys are checked in json-keys.test.ts. */
import { expect, test } from "bun:test";
import { existsSync, statSync } from "node:fs";
import { runShell } from "../support/command.ts";
import { trainLab } from "./train-lab.ts";

const { at, folder, run } = trainLab();
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
}, 120_000);

test("merge refuses two results on stdout", async () => {
  const { err, code } = await runShell("$MERGE llama-tied --method passthrough --json > both", folder);
  expect(code).toBe(2);
  expect(err).toContain("--json and the merged checkpoint both want stdout");
  expect(existsSync(at("both")) && statSync(at("both")).size).toBe(0);
}, 120_000);
