/** Dry runs of training: from shapes alone, and as the run then is. */
import { expect, test } from "bun:test";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { runAlone } from "../support/command.ts";
import { sharedGpu } from "../support/gpu.ts";
import { trainLab } from "./train-lab.ts";

const { at, run } = trainLab();

const memoryOf = (file: string) => JSON.parse(readFileSync(at(file), "utf8").split("\n")[0]!).memory;

test.each([
  ["train", "llama-tied --data llama-tied.jsonl"],
  ["train", "llama-tied --data llama-tied.jsonl --lora --lora-rank 2 --dora"],
  ["train", "llama-tied --data llama-tied.jsonl --dtype bf16 --state-dtype bf16 --recompute"],
  ["distill", "--teacher llama-tied --student llama-tied --data llama-tied.jsonl --method jsd --label-weight 1"],
  ["unlearn", "llama-tied --forget llama-tied.jsonl --retain llama-tied-first.jsonl --method npo --smooth sam"],
  ["curriculum", "llama-tied --data a=llama-tied.jsonl --data b=llama-tied-first.jsonl --method coba"],
])(
  "%s %s: the memory told is the memory taken",
  async (script, line) => {
    const name = Bun.hash(line).toString(36);
    const argv = [...line.split(" "), "--steps", "1", "--batch-size", "2", "--save-every", "0"];
    const groups =
      script === "curriculum" ? ["--eval-data", "a=llama-tied.jsonl", "--eval-data", "b=llama-tied.jsonl"] : [];
    const plan = await run(script, [...argv, ...groups, "--dry-run", "--json", "-o", "result"]);
    expect(plan.err).not.toContain("depends on the model's values");
    expect(existsSync(at("result"))).toBe(false);
    const done = await run(script, [...argv, ...groups, "-o", `out-${name}`, "--log", `${name}.log`, "-q"]);
    expect(done.code, done.err).toBe(0);
    expect(JSON.parse(plan.text).memory).toEqual(memoryOf(`${name}.log`));
  },
  60_000,
);

test("the host's memory is what a run takes, give or take a half", async () => {
  const shape = { hidden_size: 256, intermediate_size: 512, num_hidden_layers: 2, num_attention_heads: 4 };
  const config = { model_type: "llama", ...shape, vocab_size: 16384, max_position_embeddings: 64 };
  writeFileSync(at("wide.json"), JSON.stringify({ ...config, tie_word_embeddings: true }));
  writeFileSync(
    at("few.jsonl"),
    `${JSON.stringify({ input_ids: Array.from({ length: 16 }, (_, i) => i) })}\n`.repeat(4),
  );
  const argv = ["--init", "wide.json", "--data", "few.jsonl", "--steps", "2", "--batch-size", "2", "-o", "wide/"];
  const plan = JSON.parse((await runAlone("train", [...argv, "--dry-run", "--json"], at("."))).text);
  const { err } = await runAlone("train", argv, at("."));
  const [, peak, unit] = /peak ([\d.]+) (MB|GB)/.exec(err)!;
  const bytes = Number(peak) * (unit === "GB" ? 1e9 : 1e6);
  const { adapter } = await sharedGpu();
  const taken = adapter.type === "cpu" ? bytes - plan.memory.total : bytes;
  expect(plan.host_memory / taken).toBeGreaterThan(0.8);
  expect(plan.host_memory / taken).toBeLessThan(1.6);
}, 120_000);

test("no weight is read: a model of 70 billion parameters, and one whose weights are not there", async () => {
  const shape = { hidden_size: 8192, intermediate_size: 28672, num_hidden_layers: 80, num_attention_heads: 64 };
  const config = { model_type: "llama", num_key_value_heads: 8, vocab_size: 128256, ...shape };
  writeFileSync(at("huge.json"), JSON.stringify({ ...config, max_position_embeddings: 64 }));
  const data = ["--tokenizer", "byte", "--data", "texts.jsonl", "--steps", "1", "--batch-size", "1", "--dry-run"];
  writeFileSync(at("texts.jsonl"), '{"text": "one"}\n');
  const huge = await run("train", ["--init", "huge.json", ...data, "--json", "-o", "x"]);
  expect(huge.code, huge.err).toBe(0);
  const { parameters, memory } = JSON.parse(huge.text);
  expect(parameters.total).toBe(70553706496);
  expect(memory.weights).toBe(4 * 70553706496);
  expect(memory.optimizer).toBe(8 * 70553706496);

  const before = readdirSync(at("llama-tied"));
  expect(before).toContain("model.safetensors");
  const file = at("llama-tied/model.safetensors");
  const bytes = readFileSync(file);
  const header = 8 + Number(bytes.readBigUInt64LE(0));
  bytes.fill(0xff, header); // every weight is NaN: what reads them would stop
  writeFileSync(file, bytes);
  const plan = await run("train", ["llama-tied", "--data", "llama-tied.jsonl", "--steps", "1", "--dry-run", "-o", "x"]);
  expect(plan.code, plan.err).toBe(0);
}, 120_000);
