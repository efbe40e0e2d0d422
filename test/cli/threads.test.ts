/**
 * A run's bytes do not depend on how many of a software driver's threads run a kernel's workgroups: other tests of
 * commands have one (.env.test). On other drivers both runs are alike.
 */
import { afterAll, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runScript } from "../support/command.ts";

const folder = mkdtempSync(join(tmpdir(), "ingot-threads-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const CONFIG = {
  model_type: "llama",
  hidden_size: 96,
  intermediate_size: 160,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  vocab_size: 264,
  max_position_embeddings: 64,
};
const row = (i: number) => `{"prompt": "${"abcdefgh"[i]} is", "completion": " number ${i} of all the letters"}\n`;
const FILES = { "config.json": JSON.stringify(CONFIG), "rows.jsonl": [...Array(8).keys()].map(row).join("") };

const COMMANDS = [
  "train --init config.json --tokenizer byte --data rows.jsonl --steps 6 --lr 0.01 --batch-size 8 -o base/",
  "train base/ --data rows.jsonl --steps 4 --lr 0.01 --optimizer adan --batch-size 8 -o tuned/",
  "merge base/ tuned/ --base base/ --method ties -o merged.safetensors",
  "distill tuned/ --student base/ --method jsd --data rows.jsonl --steps 4 --batch-size 8 -o student.safetensors",
  "unlearn tuned/ --method npo --retain-weight 0 --forget rows.jsonl --steps 4 --batch-size 8 -o unlearned.safetensors",
];

test("training, merging, distillation and unlearning give the same bytes with one thread as with four", async () => {
  const bytes = (place: string, name: string) => readFileSync(join(folder, place, `${name}.safetensors`));
  for (const [place, threads] of [
    ["one", "0"],
    ["four", "4"],
  ] as const) {
    mkdirSync(join(folder, place));
    for (const [name, text] of Object.entries(FILES)) writeFileSync(join(folder, place, name), text);
    for (const command of COMMANDS) {
      const [script, ...argv] = command.split(" ");
      const ran = await runScript(script!, [...argv, "-q"], join(folder, place), { LP_NUM_THREADS: threads });
      expect([command, ran.code, ran.err]).toEqual([command, 0, ""]);
    }
  }
  for (const name of ["base/model", "tuned/model", "merged", "student", "unlearned"])
    expect([name, bytes("four", name).equals(bytes("one", name))]).toEqual([name, true]);
  expect(bytes("one", "merged").equals(bytes("one", "base/model"))).toBe(false);
}, 120_000);
