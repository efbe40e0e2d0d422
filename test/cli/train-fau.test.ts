/** `train --log-fau`: what it tells is what the probe says of the model, and training does not hear of it. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { readFileSync } from "node:fs";
import { GOLDEN_OPTIONS, trainLab } from "./train-lab.ts";

setDefaultTimeout(120_000);
const { at, run } = trainLab();

const events = (log: string, name: string) =>
  readFileSync(at(log), "utf8")
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line))
    .filter(({ event }) => event === name);

test("the log tells active units before the first step and every so many, as the probe does of the result", async () => {
  const argv = ["llama-tied", "--data", "llama-tied-first.jsonl", ...GOLDEN_OPTIONS, "-q"];
  const told = await run("train", [...argv, "--log-fau", "3", "--log", "told.log", "-o", "told/"]);
  expect([told.code, told.err]).toEqual([0, ""]);
  expect((await run("train", [...argv, "--log", "plain.log", "-o", "plain/"])).code).toBe(0);
  const losses = (log: string) => events(log, "step").map(({ loss, grad_norm }) => [loss, grad_norm]);
  expect(losses("told.log")).toEqual(losses("plain.log"));
  const found = events("told.log", "fau");
  expect(found.map(({ step }) => step)).toEqual([0, 3]);
  const probe = async (model: string) => {
    const options = ["--data", "llama-tied-first.jsonl", "--probe", "fau", "--json"];
    const [{ active, dormant, layers }] = JSON.parse((await run("evaluate", [model, ...options])).text).rows;
    return { active, dormant, layers };
  };
  expect(found[1]).toMatchObject(await probe("told/"));
  expect(found[0]).toMatchObject(await probe("llama-tied"));
});

test("without a log there is nobody to tell", async () => {
  const refused = await run("train", [
    "llama-tied",
    "--data",
    "llama-tied.jsonl",
    "--steps",
    "1",
    "--log-fau",
    "1",
    "-o",
    "x/",
  ]);
  expect([refused.code, refused.err]).toEqual([
    2,
    expect.stringContaining("--log-fau tells the log, and there is none"),
  ]);
});
