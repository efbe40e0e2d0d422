/** `compress` from stored statistics, in shards of their own, and what it refuses. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runScript } from "../support/command.ts";

setDefaultTimeout(120_000);
const folder = mkdtempSync(join(tmpdir(), "ingot-stats-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const CONFIG = {
  ...{ model_type: "llama", hidden_size: 16, intermediate_size: 32, num_hidden_layers: 2, num_attention_heads: 2 },
  ...{ num_key_value_heads: 1, vocab_size: 264, max_position_embeddings: 64, tie_word_embeddings: true },
};

const run = (name: string, line: string) => runScript(name, line.split(" "), folder);
async function succeeds(name: string, line: string): Promise<string> {
  const { text, err, code } = await run(name, line);
  expect([line, code, err]).toEqual([line, 0, ""]);
  return text;
}

beforeAll(async () => {
  writeFileSync(join(folder, "tiny.json"), JSON.stringify(CONFIG));
  await succeeds("data", "addition --digits 1 --size 12 -o rows.jsonl -q");
  await succeeds("train", "--init tiny.json --tokenizer byte --data rows.jsonl --steps 2 -o base/ -q");
  await succeeds("evaluate", "gram base/ --data rows.jsonl -o gram.safetensors -q");
});

test("shards that processes write for themselves are those that one writes", async () => {
  const line = "base/ --prune sparsegpt --stats gram.safetensors -q";
  for (const i of [2, 1]) await succeeds("compress", `${line} --shard ${i}/2 -o each/`);
  await succeeds("compress", `${line} --shards 2 -o both/`);
  const files = readdirSync(join(folder, "both")).sort();
  expect(readdirSync(join(folder, "each")).sort()).toEqual(files);
  for (const file of files)
    expect([file, readFileSync(join(folder, "each", file)).equals(readFileSync(join(folder, "both", file)))]).toEqual([
      file,
      true,
    ]);
});

test("the first block is measured alike from rows and from statistics of the model", async () => {
  const errors = async (from: string) => {
    const text = await succeeds(
      "compress",
      `base/ --prune wanda ${from} -q --json -o ${from.includes("stats") ? "stats" : "rows"}/`,
    );
    const { layers } = JSON.parse(text) as { layers: { name: string; error: number }[] };
    return new Map(layers.map(({ name, error }) => [name, error]));
  };
  const [rows, stats] = [await errors("--calibration rows.jsonl"), await errors("--stats gram.safetensors")];
  for (const [name, error] of rows) {
    const near = Math.abs(error - stats.get(name)!) < 1e-5;
    if (name.includes("layers.0.self_attn.q")) expect(near).toBeTrue();
    expect(stats.get(name)).toBeGreaterThan(0);
  }
  expect([...rows.keys()]).toEqual([...stats.keys()]);
});

test("a dry run tells sizes and memory, and writes nothing", async () => {
  const before = readdirSync(folder);
  const text = await succeeds("compress", "base/ --quant gptq --calibration rows.jsonl -n --json -q -o none/");
  const told = JSON.parse(text) as { memory: { gpu: number; host: number }; bytes: { before: number; after: number } };
  expect(told).toMatchObject({ matrices: 14, rows: 12, format: "pack-quantized" });
  expect(told.bytes.after).toBeLessThan(told.bytes.before);
  expect(Math.min(told.memory.gpu, told.memory.host)).toBeGreaterThan(10_000);
  expect(readdirSync(folder)).toEqual(before);
});

test.each(["--quant gptq --calibration rows.jsonl", "--prune sparsegpt --calibration rows.jsonl", "--quant rtn"])(
  "%s takes no more memory on the GPU than its plan says",
  async (line) => {
    const planned = JSON.parse(await succeeds("compress", `base/ ${line} -n --json -q -o none/`));
    const done = JSON.parse(await succeeds("compress", `base/ ${line} --json -q -o used/ --overwrite`));
    expect(done.gpu_bytes).toBeLessThanOrEqual(planned.memory.gpu);
    expect(done.gpu_bytes).toBeGreaterThan(planned.memory.gpu / 4);
  },
);

test.each([
  ["--prune wanda --calibration rows.jsonl --stats gram.safetensors", "both say what layers read"],
  ["--prune wanda --calibration rows.jsonl --shard 1/2", "every block hangs on those before it"],
  ["--quant awq --stats gram.safetensors", "awq changes what layers read"],
  ["--prune wanda --stats rows.jsonl", "rows.jsonl"],
  ["--prune wanda --stats base/", "k_proj.weight is F32 (8, 16); expected (16, 16)"],
  ["--prune magnitude --pattern 4:2", "--pattern 4:2 is not N:M"],
  ["--prune magnitude --pattern 2:4 --sparsity 0.5", "both say which weights go"],
  ["--quant rtn --bits 9", "--bits 9 is no number of bits"],
  ["--quant rtn --group 0", "--group 0 is no number of inputs"],
  ["--quant rtn --only none.*", "no linear layer of a block is left"],
  ["", "nothing says what to do with the weights"],
])("refused: %s", async (options, message) => {
  const { err, code } = await run("compress", `base/ ${options} -q -o bad/`.replace(/ +/g, " "));
  expect([code, err]).toEqual([2, expect.stringContaining(message)]);
  expect(readdirSync(folder)).not.toContain("bad");
});
