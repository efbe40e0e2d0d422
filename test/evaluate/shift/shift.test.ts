/**
 * Shifts: areas and effective robustness in plain arithmetic, and the command on classifiers and on a language model.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { areaOf, robustnessOf, shareOf } from "../../../src/evaluate/shift/measures.ts";
import { runScript } from "../../support/command.ts";

test("an area is the mean height by trapezoids", () => {
  expect(areaOf([1, 1, 1, 1, 1, 1])).toBe(1);
  expect(areaOf([1, 0.5, 0])).toBe(0.5);
  expect(areaOf([1, 0, 0])).toBe(0.25);
});

test("effective robustness is what a model has beyond the line of the pool in log odds, 0 on it", () => {
  const rows = 1e9;
  const share = (odds: number) => ({ accuracy: 1 / (1 + Math.exp(-odds)), interval: [0, 1] as const, rows });
  const learnt = [0, 1, 2, 3].map(share);
  const line = [-1, -0.5, 0, 0.5].map(share);
  for (const { effective } of robustnessOf(learnt, line)!) expect(effective).toBeCloseTo(0, 9);
  const [, second, third] = robustnessOf(learnt, [-1, 0.5, 0, 0.5].map(share))!;
  expect(second!.effective).toBeGreaterThan(0.1);
  expect(third!.effective).toBeLessThan(0);
  expect(robustnessOf(learnt.slice(0, 2), line.slice(0, 2))).toBeUndefined();
  expect(robustnessOf([learnt[0]!, learnt[0]!, learnt[0]!], line.slice(0, 3))).toBeUndefined();
  expect(shareOf([true, true, false, false], { draws: 100, seed: 0 })).toMatchObject({ accuracy: 0.5, rows: 4 });
});

let folder = "";
const run = (script: string, line: string) => runScript(script, line.split(" "), folder);
const write = (name: string, rows: readonly object[]) =>
  writeFileSync(join(folder, name), rows.map((row) => `${JSON.stringify(row)}\n`).join(""));

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "ingot-shift-"));
  // Two classes by the side of the first number; the shifted rows lie nearer to the border.
  const near = (i: number, size: number) => ({
    x: [(i % 2 ? 1 : -1) * size + 0.05 * Math.sin(7 * i), Math.cos(3 * i)],
    label: i % 2,
  });
  write(
    "rows.jsonl",
    Array.from({ length: 60 }, (_, i) => near(i, 0.6)),
  );
  write(
    "shifted.jsonl",
    Array.from({ length: 60 }, (_, i) => near(i, 0.05)),
  );
  const mlp = { model_type: "mlp", input_size: 2, hidden_sizes: [8], num_labels: 2 };
  writeFileSync(join(folder, "mlp.json"), JSON.stringify(mlp));
  const fit = "--init mlp.json --data rows.jsonl --batch-size 60 -q";
  for (const [name, line] of [
    ["good", "--steps 40 --lr 3e-2"],
    ["fresh", "--steps 1 --lr 1e-6"],
    ["other", "--steps 20 --lr 1e-2 --seed 1"],
  ] as const)
    expect((await run("train", `${fit} ${line} -o ${name}/`)).err).toBe("");
  const asked = [..."abcdefgh"].map((letter, i) => ({ prompt: `${letter} is `, completion: `${i % 2}` }));
  write("asked.jsonl", asked);
  const llama = {
    ...{ model_type: "llama", hidden_size: 16, intermediate_size: 16, num_hidden_layers: 1, num_attention_heads: 2 },
    ...{ vocab_size: 264, max_position_embeddings: 64 },
  };
  writeFileSync(join(folder, "tiny.json"), JSON.stringify(llama));
  const made = await run("train", "--init tiny.json --tokenizer byte --data asked.jsonl --steps 1 -q -o text/");
  expect(made.err).toBe("");
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

test("of classifiers: severity 0 is the clean score, noise costs accuracy, and shifted rows are told apart", async () => {
  const models = "good fresh other";
  const line = `shift ${models} --data rows.jsonl --shifted near=shifted.jsonl --corruption gaussian-noise --range -1,1`;
  const { text, err } = await run("evaluate", `${line} --bootstrap 50 --json -q`);
  expect(err).toBe("");
  const { rows } = JSON.parse(text);
  const [good] = rows;
  expect(good.domains.map(({ domain }: { domain: string }) => domain)).toEqual(["rows", "near"]);
  expect(good.domains[0].accuracy).toBe(1);
  expect(good.domains[1].accuracy).toBeLessThan(1);
  for (const { worse, domains } of rows) expect(worse[0].curve[0]).toBe(domains[0].accuracy);
  expect(good.worse[0].curve[5]).toBeLessThan(1);
  expect(good.worse[0].area).toBeCloseTo(areaOf(good.worse[0].curve), 12);
  expect(rows.map(({ robustness }: { robustness: { effective: number }[] }) => robustness.length)).toEqual([1, 1, 1]);
  expect((await run("evaluate", `${line} --bootstrap 50 --json -q`)).text).toBe(text);
});

test("of prompts and completions: behind no example they are the rows themselves", async () => {
  const line = "shift text --data asked.jsonl --corruption typos --shots 0,2 --bootstrap 20 --json -q";
  const { text, err } = await run("evaluate", line);
  expect(err).toBe("");
  const [{ domains, shots, worse }] = JSON.parse(text).rows;
  expect(shots.map(({ shots: count, from }: { shots: number; from: string }) => [count, from])).toEqual([
    [0, "asked"],
    [2, "asked"],
  ]);
  expect(shots[0].accuracy).toBe(domains[0].accuracy);
  expect(worse[0].curve).toHaveLength(6);
});

test.each([
  ["shift good --data a=rows.jsonl --data b=shifted.jsonl", "--data is of one domain"],
  ["shift good --data rows.jsonl --shifted rows=shifted.jsonl", "two domains are called rows"],
  ["shift good --data rows.jsonl --corruption typos", "typos is of texts, found numbers"],
  ["shift text --data asked.jsonl --shots 9", "there are 7 other prompts, and --shots asks for 9"],
])("%s is refused", async (line, message) => {
  const { code, err } = await run("evaluate", line);
  expect([code, err]).toEqual([2, expect.stringContaining(message)]);
});
