/** Classifiers of texts from the shell: trained from a config, evaluated, adapted, distilled, unlearned. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { cpSync, readFileSync, writeFileSync } from "node:fs";
import { tensorsOf } from "../support/checkpoint-values.ts";
import { trainLab } from "./train-lab.ts";

setDefaultTimeout(120_000);
const { at, run } = trainLab();

const SIZES = {
  ...{ hidden_size: 24, intermediate_size: 32, num_hidden_layers: 2, num_attention_heads: 2, vocab_size: 260 },
  ...{ max_position_embeddings: 64, type_vocab_size: 2, initializer_range: 0.1 },
};
const BERT = { model_type: "bert", ...SIZES, id2label: { 0: "bad", 1: "good" } };

const rowsOf = (count: number, from: number) =>
  Array.from({ length: count }, (_, k) => {
    const i = k + from;
    const label = i % 2;
    const word = (label ? ["fine", "great", "nice"] : ["poor", "awful", "sad"])[i % 3]!;
    return {
      text: `${["a", "the", "one"][(i % 7) % 3]} ${word} film${" indeed".repeat(i % 5)}`,
      label: label ? "good" : 0,
    };
  });
const write = (name: string, rows: readonly object[]) =>
  writeFileSync(at(name), rows.map((row) => `${JSON.stringify(row)}\n`).join(""));

/** Runs a script that should succeed; gives what it prints. */
async function done(script: string, line: string): Promise<string> {
  const { code, err, text } = await run(script, line.split(" "));
  expect(code, err).toBe(0);
  return text;
}

test("learns, is evaluated, adapted, distilled, and forgets", async () => {
  writeFileSync(at("bert.json"), JSON.stringify(BERT));
  write("train.jsonl", rowsOf(120, 0));
  write("test.jsonl", rowsOf(30, 200));
  const data = "--data train.jsonl --batch-size 12";
  await done("train", `--init bert.json --tokenizer byte ${data} --steps 40 --lr 5e-3 --eval-data test.jsonl -o made/`);
  const config = JSON.parse(readFileSync(at("made/config.json"), "utf8"));
  expect([config.architectures, config.label2id]).toEqual([["BertForSequenceClassification"], { bad: 0, good: 1 }]);
  const measured = JSON.parse(await done("evaluate", "made --data test.jsonl --metric accuracy,class-accuracy --json"));
  expect([measured.accuracy, measured["class-accuracy"]]).toEqual([1, 1]); // on rows that it has not seen

  await done("train", `made ${data} --lora --lora-rank 2 --steps 4 -o adapter/`);
  const adapter = JSON.parse(readFileSync(at("adapter/adapter_config.json"), "utf8"));
  expect([adapter.task_type, adapter.modules_to_save]).toEqual(["SEQ_CLS", ["classifier"]]);
  await done("evaluate", "made+adapter --data test.jsonl --metric accuracy --dump logits.safetensors");
  await done("train", `made+adapter --lora-continue ${data} --steps 2 -o adapter2/`);
  await done("merge", "made+adapter --method passthrough -o whole/");
  await done("evaluate", "whole --data test.jsonl --metric accuracy");

  const states = "--method hidden --layers 1:2,last:last";
  await done("distill", `--teacher made --init bert.json --tokenizer byte ${data} --method kd --steps 3 -o small/`);
  await done("distill", `--teacher made --student small ${data} ${states} --steps 2 -o states/`);
  await done("distill", `--teacher made --student small ${data} --method attention --steps 2 -o maps/`);
  await done(
    "unlearn",
    "made --forget test.jsonl --retain train.jsonl --method grad-diff --steps 2 --batch-size 6 -o un/",
  );
  await done("curriculum", `made ${data} --method length --steps 3 -o short/`);
});

/** Gives other names to tensors of a file, so that a part of its model is missing. */
function rename(file: string, from: RegExp, to: string): void {
  const bytes = readFileSync(file);
  const size = Number(bytes.readBigUInt64LE());
  const header = Object.entries(JSON.parse(bytes.subarray(8, 8 + size).toString()));
  const text = JSON.stringify(Object.fromEntries(header.map(([name, info]) => [name.replace(from, to), info])));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(Buffer.byteLength(text)));
  writeFileSync(file, Buffer.concat([length, Buffer.from(text), bytes.subarray(8 + size)]));
}

test("a pretrained encoder gets a new head, which an adapter holds", async () => {
  cpSync(at("made"), at("encoder"), { recursive: true });
  rename(at("encoder/model.safetensors"), /^classifier\./, "cls.predictions.");
  const refused = await run("evaluate", ["encoder", "--data", "test.jsonl", "--metric", "loss"]);
  expect([refused.code, refused.err]).toEqual([2, expect.stringContaining("encoder has no tensor classifier.weight")]);
  expect(refused.err).toContain("a pretrained encoder has no head; train gives it one");
  const line = "encoder --data train.jsonl --batch-size 12 --steps 2 --seed 5".split(" ");
  const whole = await run("train", [...line, "-o", "headed/"]);
  expect([whole.code, whole.err]).toEqual([
    0,
    expect.stringContaining("encoder has no classifier.weight: its head is new, drawn by --seed 5"),
  ]);
  expect(whole.err).toContain("encoder: cls.predictions.weight and 1 other belong to nothing that bert computes");
  await done("evaluate", "headed --data test.jsonl --metric loss");
  const again = await run("train", [...line, "-o", "again/"]);
  expect(again.code).toBe(0);
  expect(readFileSync(at("again/model.safetensors")).length).toBe(readFileSync(at("headed/model.safetensors")).length);
  const [one, other] = [await tensorsOf(at("headed")), await tensorsOf(at("again"))];
  expect(one).toEqual(other);

  await done("train", `${line.join(" ")} --lora --lora-rank 2 -o head-adapter/`);
  await done("evaluate", "encoder+head-adapter --data test.jsonl --metric accuracy");
  const on = await run("train", ["encoder+head-adapter", "--lora-continue", ...line.slice(1), "-o", "head-on/"]);
  expect([on.code, on.err]).toEqual([0, expect.not.stringContaining("its head is new")]);
});

test("a masked language model, which is saved without a pooler, gets one with its head", async () => {
  for (const [name, prefix] of [
    ["masked", "bert."],
    ["bare", ""],
  ] as const) {
    cpSync(at("made"), at(name), { recursive: true });
    rename(at(`${name}/model.safetensors`), /^(classifier|bert\.pooler\.dense)\./, "cls.predictions.$1.");
    rename(at(`${name}/model.safetensors`), /^bert\./, prefix);
    const config = JSON.parse(readFileSync(at(`${name}/config.json`), "utf8"));
    writeFileSync(at(`${name}/config.json`), JSON.stringify({ ...config, architectures: ["BertForMaskedLM"] }));
    const line = [name, "--data", "train.jsonl", "--batch-size", "12", "--steps", "1"];
    const adapter = await run("train", [...line, "--lora", "-o", `${name}-adapter/`]);
    expect([adapter.code, adapter.err]).toEqual([
      2,
      expect.stringContaining(`${name} has no ${prefix}pooler.dense.weight, and an adapter does not hold a new one`),
    ]);
    const whole = await run("train", [...line, "-o", `${name}-headed/`]);
    expect([whole.code, whole.err]).toEqual([
      0,
      expect.stringContaining(`drawn by --seed 0, and ${prefix}pooler.dense.weight with it`),
    ]);
    const made = JSON.parse(readFileSync(at(`${name}-headed/config.json`), "utf8"));
    expect(made).toEqual({ ...config, architectures: ["BertForSequenceClassification"] });
    await done("evaluate", `${name}-headed --data test.jsonl --metric loss`);
    await done("train", `${name}-headed --data train.jsonl --batch-size 12 --steps 1 --lora -o ${name}-adapter/`);
  }
  const refused = await run("evaluate", ["masked", "--data", "test.jsonl", "--metric", "loss"]);
  expect(refused.err).toContain("a pretrained encoder has no head; train gives it one");
});

test.each([
  ['{"text": "a"}', "train", "label should be a class (0 to 1) or its name, found nothing", "--columns label=COLUMN"],
  [
    '{"text": "a", "label": "fine"}',
    "train",
    "label should be a class (0 to 1) or its name, found the string",
    "config.json names bad, good (id2label)",
  ],
  ['{"prompt": "a", "label": 0}', "evaluate", "expected text and label, found a row of prompt", "text_pair=COLUMN"],
  ['{"text": "a", "label": 3}', "evaluate", "label 3, but the model has 2 classes", "set num_labels"],
])("%s is refused by %s", async (row, script, message, hint) => {
  writeFileSync(at("odd.jsonl"), `${row}\n`);
  const tail = script === "train" ? ["--steps", "1", "-o", "odd/"] : ["--metric", "loss"];
  const { code, err } = await run(script, ["made", "--data", "odd.jsonl", ...tail]);
  expect([code, err]).toEqual([2, expect.stringContaining(`odd.jsonl:1: ${message}`)]);
  expect(err).toContain(hint);
});

test("long rows are cut with a remark, refused on request, and not split", async () => {
  write("long.jsonl", [{ text: "x".repeat(100), label: 0 }]);
  const line = "made --data long.jsonl --metric loss".split(" ");
  expect((await run("evaluate", line)).err).toContain(
    "rows of more than 64 tokens are cut, the first is long.jsonl:1 with 100",
  );
  const refused = await run("evaluate", [...line, "--overflow", "refuse"]);
  expect([refused.code, refused.err]).toEqual([2, expect.stringContaining("the row has 100 tokens, more than 64")]);
  const split = await run("evaluate", [...line, "--overflow", "split"]);
  expect([split.code, split.err]).toEqual([2, expect.stringContaining("--overflow split makes several rows of one")]);
});
