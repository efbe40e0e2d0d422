/** A teacher with fewer positions than rows have tokens is refused before any step. */
import { afterAll, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runScript } from "../support/command.ts";
import { TINY_ENCODERS, TINY_TEXT } from "../support/tiny-models.ts";

setDefaultTimeout(120_000);
const folder = mkdtempSync(join(tmpdir(), "ingot-positions-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const write = (name: string, text: string) => writeFileSync(join(folder, name), text);
const rows = (lengths: readonly number[], label?: number) =>
  lengths
    .map((length) => ({
      input_ids: Array.from({ length }, (_, i) => 3 + i),
      ...(label === undefined ? {} : { label }),
    }))
    .map((row) => `${JSON.stringify(row)}\n`)
    .join("");

async function run(line: string): Promise<string> {
  const { code, err } = await runScript(
    "distill",
    `${line} --steps 1 --batch-size 2 -q --overwrite -o out`.split(" "),
    folder,
  );
  return code === 0 ? "" : err;
}

test.each(["gpt2", "llama"])("%s: a language model", async (name) => {
  const key = name === "gpt2" ? "n_positions" : "max_position_embeddings";
  for (const [size, positions] of [
    ["short", 6],
    ["long", 16],
  ] as const) {
    write(`${size}.json`, JSON.stringify({ ...TINY_TEXT[name]!, [key]: positions }));
    write("some.jsonl", rows([4, 4]));
    const made = `--init ${size}.json --data some.jsonl --steps 1 --batch-size 2 -q --overwrite -o ${name}-${size}`;
    expect((await runScript("train", made.split(" "), folder)).err).toBe("");
  }
  write("rows.jsonl", rows([5, 8, 6]));
  const pair = `--teacher ${name}-short --student ${name}-long --data rows.jsonl`;
  const refusal = await run(pair);
  expect(refusal).toContain(`the longest row has 8 tokens, and the teacher ${name}-short has 6 positions`);
  expect(refusal).toContain("give --max-length 6");
  write("fit.jsonl", rows([5, 6]));
  expect(await run(pair.replace("rows.jsonl", "fit.jsonl"))).toBe("");
  expect(await run(`${pair.replace("rows.jsonl", "fit.jsonl")} --dry-run`)).toBe("");
  expect(await run(`${pair} --dry-run`)).toContain("has 6 positions");
  const sampled = `${pair.replace("rows.jsonl", "fit.jsonl")} --prompt-tokens 2`;
  const longer = await run(`${sampled} --method jsd --on-policy 1`);
  expect(longer).toContain(`rows with samples may reach 16 tokens, and the teacher ${name}-short has 6 positions`);
  expect(longer).toContain("give --max-length 6, or fewer --sample-tokens");
  for (const how of ["jsd --teacher-samples 1", "minillm"])
    expect(await run(`${sampled} --method ${how} --sample-tokens 5 --dry-run`)).toContain("may reach 7 tokens");
  expect(await run(`${sampled} --method jsd --on-policy 1 --sample-tokens 4`)).toBe("");
  expect(await run(`${sampled} --method minillm --max-length 6`)).toBe("");
});

test("a classifier of texts", async () => {
  for (const [size, positions] of [
    ["short", 6],
    ["long", 16],
  ] as const) {
    write(`${size}.json`, JSON.stringify({ ...TINY_ENCODERS.bert!, max_position_embeddings: positions }));
    write("some.jsonl", rows([4, 4], 1));
    const made = `--init ${size}.json --data some.jsonl --steps 1 --batch-size 2 -q --overwrite -o bert-${size}`;
    expect((await runScript("train", made.split(" "), folder)).err).toBe("");
  }
  write("rows.jsonl", rows([5, 8, 6], 0));
  expect(await run("--teacher bert-short --student bert-long --data rows.jsonl")).toContain(
    "the longest row has 8 tokens, and the teacher bert-short has 6 positions",
  );
  write("fit.jsonl", rows([5, 6], 0));
  expect(await run("--teacher bert-short --student bert-long --data fit.jsonl")).toBe("");
});
