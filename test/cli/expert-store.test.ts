/** `--expert-store stream` of train, evaluate and sample: the results of all in memory, and what log and plan tell. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { json, writeTiny } from "../merge/experts/models.ts";
import { runScript } from "../support/command.ts";

setDefaultTimeout(120_000); // the machine may be busy

let folder: string;
const run = (script: string, line: string) => runScript(script, line.split(" "), folder);
const STREAM = "--expert-store stream --expert-slots 2";

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "ingot-store-"));
  await writeTiny(folder, "base", json("llama"), 3);
  const rows = Array.from({ length: 8 }, (_, i) => `${JSON.stringify({ text: `row ${i} ${"abc".repeat(i % 5)}` })}\n`);
  writeFileSync(join(folder, "rows.jsonl"), rows.join(""));
  await runScript("merge", "moe base --experts 3 --noise 0.1 --gate-mode random -o moe".split(" "), folder);
});
afterAll(() => rmSync(folder, { recursive: true }));

test("train gives the file of all in memory, and tells what it loads", async () => {
  const common = "train moe --data rows.jsonl --steps 3 --batch-size 4 --clip 1";
  const args = (more: string) => `${common} ${more}`.replace("train ", "");
  const whole = await run("train", args("-o whole.safetensors"));
  expect(whole.err).not.toContain("expert slots");
  const { err, code } = await run("train", args(`${STREAM} --log log.jsonl -o streamed.safetensors`));
  expect(code).toBe(0);
  expect(err).toContain("expert slots");
  const tensorsOf = (name: string) => {
    const bytes = readFileSync(join(folder, name));
    return bytes.subarray(8 + Number(bytes.readBigUInt64LE(0)));
  };
  expect(tensorsOf("streamed.safetensors").equals(tensorsOf("whole.safetensors"))).toBe(true);
  const lines = readFileSync(join(folder, "log.jsonl"), "utf8").trim().split("\n");
  const steps = lines.map((line) => JSON.parse(line)).filter(({ event }) => event === "step");
  const loaded = steps.map(({ expert_bytes_loaded: bytes }) => bytes);
  expect(loaded).toHaveLength(3);
  for (let i = 1; i < 3; i++) expect(loaded[i]).toBeGreaterThan(loaded[i - 1]);
  const plan = await run("train", args(`${STREAM} --dry-run --json`));
  expect(JSON.parse(new TextDecoder().decode(plan.out)).memory["expert slots"]).toBe(
    lines.map((line) => JSON.parse(line)).find(({ memory }) => memory).memory["expert slots"],
  );
});

test("evaluate and sample give the numbers and the text of all in memory", async () => {
  const lines = ["evaluate moe --data rows.jsonl --json", "sample moe ab --max-tokens 3 --temperature 1"];
  for (const line of lines) {
    const [script = "", ...args] = line.split(" ");
    const whole = await runScript(script, args, folder);
    const streamed = await runScript(script, [...args, ...STREAM.split(" "), "--cache-policy", "lru"], folder);
    expect(streamed.code).toBe(0);
    expect(streamed.out).toEqual(whole.out);
  }
});

test("models without experts, layers on the disk, and what goes back are refused", async () => {
  const refused = [
    ["evaluate", `base --data rows.jsonl ${STREAM}`, "a llama has no experts"],
    ["evaluate", `moe --data rows.jsonl --offload ${STREAM}`, "--offload reads all weights of a layer"],
    ["evaluate", `moe --data rows.jsonl --probe pathway ${STREAM}`, "--expert-store cannot be combined with --probe"],
    [
      "train",
      `moe --data rows.jsonl --steps 1 --dtype bf16 ${STREAM} -o x`,
      "--dtype bf16 rounds weights by their place",
    ],
    ["train", `moe --data rows.jsonl --steps 1 --optimizer adafactor ${STREAM} -o x`, "--optimizer adafactor works on"],
    ["train", `moe --data rows.jsonl --steps 1 --expert-slots 2 -o x`, "--expert-slots"],
  ] as const;
  for (const [script, line, message] of refused) {
    const { code, err } = await run(script, line);
    expect(code, line).toBe(2);
    expect(err).toContain(message);
  }
});
