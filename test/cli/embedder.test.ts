/** Encoders as embedders from the shell: train, evaluate, resume, adapters, and what is refused. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runScript } from "../support/command.ts";

setDefaultTimeout(120_000); // the machine may be busy

const folder = mkdtempSync(join(tmpdir(), "ingot-embeds-"));
afterAll(() => rmSync(folder, { recursive: true }));
const at = (name: string) => join(folder, name);
const write = (name: string, rows: readonly object[]) =>
  writeFileSync(at(name), rows.map((row) => `${JSON.stringify(row)}\n`).join(""));

const WORDS = ["cat", "dog", "sun", "sea", "tree", "lamp", "door", "fish"];
const json = {
  ...{ model_type: "bert", hidden_size: 16, intermediate_size: 32, num_hidden_layers: 1, num_attention_heads: 2 },
  ...{ vocab_size: 264, max_position_embeddings: 24, type_vocab_size: 1 },
};
const TRAIN = "--loss infonce --data pairs.jsonl --batch-size 8 --lr 0.01 --seed 1";

const ran = (script: string, line: string) => runScript(script, line.split(" "), folder);

/** Runs what must work; gives stdout and stderr. */
async function good(script: string, line: string): Promise<{ text: string; err: string }> {
  const { code, text, err } = await ran(script, line);
  expect([line, code, code === 0 ? "" : err]).toEqual([line, 0, ""]);
  return { text, err };
}

const values = (text: string) =>
  Object.fromEntries(
    (JSON.parse(text) as { rows: { metric: string; value: number }[] }).rows.map(({ metric, value }) => [
      metric,
      value,
    ]),
  );

beforeAll(async () => {
  writeFileSync(at("bert.json"), JSON.stringify(json));
  write(
    "pairs.jsonl",
    WORDS.flatMap((word, i) => [
      { query: `a ${word}`, positive: `${i} ${word}` },
      { query: `one ${word}`, positive: `${i} ${word}`, negative: `no ${word}` },
    ]),
  );
  write(
    "likeness.jsonl",
    WORDS.map((word, i) => ({ sentence1: `a ${word}`, sentence2: `${i} ${WORDS[i - (i % 2)]}`, score: 1 - (i % 2) })),
  );
  await good("train", `--init bert.json --tokenizer byte ${TRAIN} --steps 60 -o model/`);
});

test("a trained encoder finds what belongs together, and is saved as a bare one", async () => {
  const { text } = await good("evaluate", "model/ --data pairs.jsonl --metric recall,mrr --json");
  expect(values(text).recall).toBeGreaterThan(0.9);
  expect(values(text).mrr).toBeGreaterThanOrEqual(values(text).recall!);
  const likeness = await good("evaluate", "model/ --data likeness.jsonl --metric spearman --json");
  expect(values(likeness.text).spearman).toBeGreaterThan(0.5);
  const config = JSON.parse(readFileSync(at("model/config.json"), "utf8"));
  expect(config.architectures).toEqual(["BertModel"]);
  expect(config.id2label).toBeUndefined();
});

test("a run that resumes gives the same bytes, and held-out pairs are measured", async () => {
  const line = `model/ ${TRAIN} --eval-data held=likeness.jsonl --eval-every 4`;
  const whole = await good("train", `${line} --steps 8 -o whole/`);
  expect(whole.err).toContain("held-out loss");
  await good("train", `${line} --steps 8 --save-every 4 --state state -o first/`);
  await good("train", `${line} --steps 8 --state state --resume -o again/`);
  for (const name of ["first", "again"])
    expect(readFileSync(at(`${name}/model.safetensors`))).toEqual(readFileSync(at("whole/model.safetensors")));
});

test("an adapter trains, and its targets have the names of the bare encoder", async () => {
  await good("train", `model/ ${TRAIN} --steps 2 --lora --lora-rank 2 -o adapter/`);
  const { text } = await good("evaluate", "model/+adapter/ --data pairs.jsonl --metric mrr --json");
  expect(values(text).mrr).toBeGreaterThan(0.5);
  const bytes = readFileSync(at("adapter/adapter_model.safetensors")).toString("latin1");
  expect(bytes).toContain("base_model.model.encoder.layer.0.attention.self.query.lora_A.weight");
});

test("files of sentence-transformers decide, and go with the result", async () => {
  const files = ["config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors"];
  mkdirSync(at("st/1_Pooling"), { recursive: true });
  for (const name of files) writeFileSync(at(`st/${name}`), readFileSync(at(`model/${name}`)));
  const module = (path: string, type: string) => ({ path, type: `sentence_transformers.models.${type}` });
  const modules = [module("", "Transformer"), module("1_Pooling", "Pooling")];
  writeFileSync(at("st/modules.json"), JSON.stringify(modules));
  writeFileSync(at("st/1_Pooling/config.json"), JSON.stringify({ pooling_mode_cls_token: true }));
  writeFileSync(at("st/sentence_bert_config.json"), JSON.stringify({ max_seq_length: 4 }));
  const { err } = await good("train", `st/ ${TRAIN} --steps 1 -o of-st/`);
  expect(err).toContain("rows of more than 4 tokens are cut");
  for (const name of ["modules.json", "1_Pooling/config.json", "sentence_bert_config.json"])
    expect(readFileSync(at(`of-st/${name}`))).toEqual(readFileSync(at(`st/${name}`)));
  await good("train", `st/ ${TRAIN} --steps 1 -o of-st.safetensors -q`);
  const stream = await good("evaluate", "of-st.safetensors --data pairs.jsonl --metric mrr --json");
  expect(values(stream.text)).toEqual(
    values((await good("evaluate", "of-st/ --data pairs.jsonl --metric mrr --json")).text),
  );
  const mean = await good("evaluate", "model/ --data pairs.jsonl --metric mrr --max-length 4 --json");
  expect(values(mean.text)).not.toEqual(values(stream.text));
});

test.each([
  ["train", `model/ ${TRAIN} --steps 1 --accumulate 2 -o x/`, "--accumulate would part them"],
  ["train", "model/ --data pairs.jsonl --temperature 0.1 --steps 1 -o x/", "ce has no option --temperature"],
  ["train", "model/ --data pairs.jsonl --steps 1 -o x/", "expected text and label, found a row of pair"],
  [
    "train",
    `--init model/config.json --tokenizer byte --loss infonce --data likeness.jsonl --columns text=sentence1 -o x/`,
    "expected a pair of texts",
  ],
  ["evaluate", "model/ --data pairs.jsonl --metric spearman", "does not say how alike its texts are"],
  ["evaluate", "model/ --data pairs.jsonl --metric mrr,loss", "run them apart"],
  ["evaluate", "model/ --data pairs.jsonl --metric mrr --dump x.safetensors", "--dump"],
])("refused: %s %s", async (script, line, message) => {
  const { code, err } = await ran(script, line);
  expect(code).toBe(2);
  expect(err).toContain(message);
});

test("vectors are made by encoders of texts alone", async () => {
  const llama = { model_type: "llama", hidden_size: 8, intermediate_size: 8, num_hidden_layers: 1 };
  writeFileSync(at("llama.json"), JSON.stringify({ ...llama, num_attention_heads: 2, vocab_size: 264 }));
  const { code, err } = await ran("train", `--init llama.json --tokenizer byte ${TRAIN} --steps 1 -o x/`);
  expect([code, err.includes("llama.json is a llama")]).toEqual([2, true]);
});
