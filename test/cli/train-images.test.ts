/** Convolutional and recurrent models through the scripts: made, trained, evaluated, sampled. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { tensorsOf } from "../support/checkpoint-values.ts";
import { runScript } from "../support/command.ts";

setDefaultTimeout(120_000);
const folder = mkdtempSync(join(tmpdir(), "ingot-images-"));
const run = (name: string, line: string) => runScript(name, line.split(" "), folder);
async function done(name: string, line: string): Promise<string> {
  const { code, text, err } = await run(name, `${line} -q`);
  expect([err, code]).toEqual(["", 0]);
  return text;
}
const json = (name: string, value: object) => writeFileSync(join(folder, name), JSON.stringify(value));

beforeAll(async () => {
  await done("data", "glyphs --canvas 9 --shift 1 --size 400 -o train.jsonl");
  await done("data", "glyphs --canvas 9 --shift 1 --size 100 --split test -o test.jsonl");
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const accuracyOf = async (model: string, data = "test.jsonl"): Promise<number> =>
  JSON.parse(await done("evaluate", `${model} --data ${data} --metric accuracy --json`)).accuracy;

test("a convnet learns digits, and its checkpoint has PyTorch's shapes and the statistics of its norms", async () => {
  const layers = [
    { type: "conv", channels: 8, kernel_size: 3 },
    { type: "max_pool", kernel_size: 2 },
    { type: "conv", channels: 16, kernel_size: 3, groups: 8 },
  ];
  json("convnet.json", {
    model_type: "convnet",
    image_size: 9,
    num_labels: 10,
    hidden_norm: "batch",
    head_pooling: "flatten",
    layers,
  });
  await done("train", "--init convnet.json --data train.jsonl --batch-size 50 --steps 40 --lr 0.02 -o convnet/");
  expect(await accuracyOf("convnet/")).toBeGreaterThan(0.8);
  const tensors = await tensorsOf(join(folder, "convnet"));
  expect(tensors.get("layers.2.weight")!.length).toBe(16 * 1 * 3 * 3);
  expect(tensors.get("norms.0.running_mean")!.some((value) => Math.abs(value) > 0.01)).toBe(true);
  const bounds = JSON.parse(await done("evaluate", "convnet/ --data test.jsonl --probe ibp --ibp-epsilon 0 --json"));
  expect(bounds.rows[0].certified).toBe(bounds.rows[0].accuracy);
});

test("a residual network under the names of transformers trains, and reads what it wrote", async () => {
  const sizes = { embedding_size: 8, hidden_sizes: [8, 16], depths: [1, 1], layer_type: "basic" };
  json("resnet.json", { model_type: "resnet", num_channels: 1, image_size: 9, num_labels: 10, ...sizes });
  await done("train", "--init resnet.json --data train.jsonl --batch-size 50 --steps 24 --lr 0.01 -o resnet/");
  expect(await accuracyOf("resnet/", "train.jsonl")).toBeGreaterThan(0.3);
  const names = [...(await tensorsOf(join(folder, "resnet"))).keys()];
  expect(names).toContain("resnet.encoder.stages.1.layers.0.shortcut.convolution.weight");
  expect(names).toContain("resnet.embedder.embedder.normalization.running_var");
});

test("a recurrent model learns a text by heart and writes it, and tells texts apart", async () => {
  writeFileSync(join(folder, "rows.jsonl"), `${JSON.stringify({ prompt: "ab", completion: "cdcdef" })}\n`);
  json("gru.json", {
    model_type: "gru",
    vocab_size: 264,
    embedding_size: 16,
    hidden_size: 24,
    max_position_embeddings: 64,
  });
  await done("train", "--init gru.json --tokenizer byte --data rows.jsonl --batch-size 1 --steps 60 --lr 0.03 -o gru/");
  expect(await done("sample", "gru/ --prompt ab --temperature 0 --max-tokens 6")).toContain("cdcdef");
  const { code, err } = await run("train", "gru/ --data rows.jsonl --lora --steps 1 -o lora/ -q");
  expect([code, err.length > 0]).toEqual([2, true]);

  const texts = Array.from({ length: 24 }, (_, i) => ({
    text: i % 2 === 0 ? `b${"a".repeat(i)}` : `c${"a".repeat(i)}`,
    label: i % 2,
  }));
  writeFileSync(join(folder, "texts.jsonl"), texts.map((row) => `${JSON.stringify(row)}\n`).join(""));
  json("classes.json", {
    ...{ model_type: "gru", architectures: ["GruForSequenceClassification"], vocab_size: 264, hidden_size: 16 },
    ...{ max_position_embeddings: 64, num_labels: 2 },
  });
  await done(
    "train",
    "--init classes.json --tokenizer byte --data texts.jsonl --batch-size 24 --steps 40 --lr 0.02 -o classes/",
  );
  expect(await accuracyOf("classes/", "texts.jsonl")).toBe(1);

  // Embeddings are moved, by a radius that has to be said; a radius of next to nothing changes next to nothing.
  const line =
    "--init classes.json --tokenizer byte --data texts.jsonl --batch-size 24 --steps 3 --lr 0.1 --optimizer sgd";
  expect((await run("train", `${line} --adversarial -o no/ -q`)).err).toContain(
    "give --pgd-epsilon, in units of the embeddings",
  );
  expect((await run("train", `${line} --adversarial --pgd-epsilon 1 --pgd-range 0,1 -o no/ -q`)).err).toContain(
    "have none",
  );
  await done("train", `${line} -o still/`);
  const apart = async (name: string, epsilon: string) => {
    await done("train", `${line} --adversarial --pgd-norm l2 --pgd-steps 2 --pgd-epsilon ${epsilon} -o ${name}`);
    const [still, moved] = [await tensorsOf(join(folder, "still")), await tensorsOf(join(folder, name))];
    return Math.max(
      ...[...still].flatMap(([key, values]) => [...values].map((v, i) => Math.abs(v - moved.get(key)![i]!))),
    );
  };
  expect(await apart("nearly/", "0.000001")).toBeLessThan(1e-4);
  expect(await apart("moved/", "2")).toBeGreaterThan(1e-3);
});
