import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { continualScores } from "../../../../src/evaluate/methods/probes/continual.ts";
import { runScript } from "../../../support/command.ts";

const CONFIG = {
  model_type: "llama",
  hidden_size: 16,
  intermediate_size: 32,
  num_hidden_layers: 1,
  num_attention_heads: 2,
  vocab_size: 16,
  max_position_embeddings: 16,
  initializer_range: 0.1,
};
const GROUPS = ["first", "second", "before"];
const DATA = GROUPS.flatMap((name) => ["--data", `${name}=${name}.jsonl`]);
let folder = "";
const run = (script: string, line: string) => runScript(script, [...line.split(" "), "-q"], folder);

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "ingot-continual-"));
  writeFileSync(join(folder, "config.json"), JSON.stringify(CONFIG));
  for (const [g, name] of GROUPS.entries()) {
    const rows = Array.from({ length: 6 }, (_, i) => ({ input_ids: [g, i + 3, 10 + g, 10 + ((i + g) % 3)] }));
    writeFileSync(join(folder, `${name}.jsonl`), rows.map((row) => `${JSON.stringify(row)}\n`).join(""));
  }
  const usual = "--steps 40 --lr 0.02 --batch-size 6 --save-every 0 --seed 1";
  const stages = [
    `--init config.json --data before.jsonl`,
    "m0.safetensors --data first.jsonl",
    "m1.safetensors --data second.jsonl",
  ];
  for (const [i, stage] of stages.entries()) {
    const { code, err } = await run("train", `${stage} ${usual} -o m${i}.safetensors`);
    if (code !== 0) throw new Error(err);
  }
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

test("means of the groups of updates and of the others, and their geometric mean", () => {
  const scores = new Map([
    ["a", 0.5],
    ["b", 0.7],
    ["old", 0.15],
  ]);
  expect(continualScores(scores, ["old"])).toEqual({ accumulation: 0.6, retention: 0.15, balance: 0.3 });
});

test("a stream that forgets gains and loses, and agrees with plain metrics", async () => {
  const models = "m0.safetensors m1.safetensors m2.safetensors";
  const told = await run("evaluate", `${models} ${DATA.join(" ")} --probe continual --continual-held before --json`);
  expect(told.err).toBe("");
  const { rows, held } = JSON.parse(told.text);
  expect(held).toEqual(["before"]);
  expect(rows[2].accumulation).toBeGreaterThan(rows[0].accumulation);
  expect(rows[2].retention).toBeLessThan(rows[0].retention);
  const plain = JSON.parse((await run("evaluate", `m2.safetensors ${DATA.join(" ")} --metric accuracy --json`)).text);
  const score = (group: string) => plain.rows.find((row: { group: string }) => row.group === group).value;
  expect(rows[2].groups).toEqual(Object.fromEntries(GROUPS.map((group) => [group, score(group)])));
  expect(rows[2].accumulation).toBeCloseTo((score("first") + score("second")) / 2, 12);
});

test.each([
  ["--continual-held befor", "--continual-held befor: no group has this name", "did you mean before?"],
  [
    "--continual-held first --continual-held second --continual-held before",
    "names all",
    "add the rows of the updates",
  ],
  ["--continual-held before --metric loss", "loss is none", "accuracy"],
  ["", "--continual-held", ""],
])("refused: %s", async (line, problem, hint) => {
  const words = `m0.safetensors ${DATA.join(" ")} --probe continual ${line}`.trim();
  const { code, err } = await run("evaluate", words);
  expect(code).toBe(2);
  expect(err).toContain(problem);
  expect(err).toContain(hint);
});
