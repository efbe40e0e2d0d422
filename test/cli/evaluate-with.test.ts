/** `evaluate --with`: metrics of two models' mixed outputs, against the mixture of their dumped logits in float64. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runScript } from "../support/command.ts";
import { normals } from "../support/random.ts";

const folder = mkdtempSync(join(tmpdir(), "ingot-evaluate-with-"));
const run = (name: string, line: string) => runScript(name, line.split(" "), folder);
const write = (name: string, text: string) => writeFileSync(join(folder, name), text);
const lines = (rows: readonly unknown[]) => `${rows.map((row) => JSON.stringify(row)).join("\n")}\n`;

const COUNT = 40;
const noise = normals(5, COUNT * 3, 1);
const points = Array.from({ length: COUNT }, (_, i) => {
  const x = [...noise.subarray(3 * i, 3 * i + 3)];
  return { x, label: x.indexOf(Math.max(...x)) };
});
const TEXTS = ["abcabcabcabd", "aabbccddeeff", "hello world", "one two three", "xyzzy"].map((text) => ({ text }));

beforeAll(async () => {
  const mlp = { model_type: "mlp", input_size: 3, hidden_sizes: [8], num_labels: 3 };
  write("mlp.json", JSON.stringify(mlp));
  write("four.json", JSON.stringify({ ...mlp, num_labels: 4 }));
  write("wide.json", JSON.stringify({ ...mlp, input_size: 4 }));
  const llama = {
    model_type: "llama",
    hidden_size: 16,
    intermediate_size: 32,
    num_hidden_layers: 1,
    num_attention_heads: 2,
    vocab_size: 264,
    max_position_embeddings: 64,
  };
  write("llama.json", JSON.stringify(llama));
  write("short.json", JSON.stringify({ ...llama, max_position_embeddings: 32 }));
  write("points.jsonl", lines(points));
  write("four.jsonl", lines(points.map(({ x }) => ({ x: [...x, 0], label: 0 }))));
  write("texts.jsonl", lines(TEXTS));
  write("answers.jsonl", lines([{ prompt: "a", completion: "b" }]));
  const train = async (config: string, data: string, more: string) => {
    const { err, code } = await run("train", `--init ${config} --data ${data} --batch-size 4 --lr 0.02 -q ${more}`);
    expect(err).toBe("");
    expect(code).toBe(0);
  };
  await train("mlp.json", "points.jsonl", "--steps 12 --seed 1 -o g/");
  await train("mlp.json", "points.jsonl", "--steps 2 --seed 2 -o h/");
  await train("four.json", "points.jsonl", "--steps 1 -o four/");
  await train("wide.json", "four.jsonl", "--steps 1 -o wide/");
  await train("llama.json", "texts.jsonl", "--tokenizer byte --steps 12 --seed 1 -o one/");
  await train("llama.json", "texts.jsonl", "--tokenizer byte --steps 3 --seed 2 -o two/");
  await train("short.json", "texts.jsonl", "--tokenizer byte --steps 1 -o short/");
}, 120_000);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Metrics over all rows, and what the first line of results calls the model. */
async function measure(line: string): Promise<Record<string, number> & { readonly model?: never }> {
  const { text, err } = await run("evaluate", `${line} --bootstrap 0 --json -q`);
  expect(err).toBe("");
  const { rows: _, ...metrics } = JSON.parse(text) as Record<string, number>;
  return metrics as Record<string, number>;
}

/** Logits that a model gives the points, (rows, classes). */
async function logitsOf(model: string): Promise<number[][]> {
  const { err } = await run("evaluate", `${model} --data points.jsonl --dump logits.safetensors --overwrite -q`);
  expect(err).toBe("");
  const bytes = readFileSync(join(folder, "logits.safetensors"));
  const length = Number(bytes.readBigUInt64LE());
  const [from, to] = JSON.parse(bytes.subarray(8, 8 + length).toString()).logits.data_offsets as [number, number];
  const values = new Float32Array(
    bytes.buffer.slice(bytes.byteOffset + 8 + length + from, bytes.byteOffset + 8 + length + to),
  );
  return points.map((_, i) => [...values.subarray(3 * i, 3 * i + 3)]);
}

const softmax = (z: readonly number[]): number[] => {
  const e = z.map((x) => Math.exp(x));
  const total = e.reduce((a, b) => a + b, 0);
  return e.map((x) => x / total);
};

/** Mean loss and accuracy of distributions, one a point. */
function judged(p: readonly (readonly number[])[]) {
  const mean = (of: (row: readonly number[], label: number) => number) =>
    p.reduce((sum, row, i) => sum + of(row, points[i]!.label), 0) / p.length;
  return {
    loss: mean((row, label) => -Math.log(row[label]!)),
    accuracy: mean((row, label) => (row.indexOf(Math.max(...row)) === label ? 1 : 0)),
  };
}

describe("classifiers", () => {
  const line = "g/ --with h/ --data points.jsonl";

  test("are measured as the mixture of their probabilities, or of their logits", async () => {
    const [g, h] = [await logitsOf("g/"), await logitsOf("h/")];
    for (const a of [0.3, 0.85]) {
      const p = g.map((z, i) => {
        const [own, other] = [softmax(z.map((x) => 2 * x)), softmax(h[i]!)];
        return own.map((x, j) => (1 - a) * x + a * other[j]!);
      });
      const found = await measure(`${line} --mix-weight ${a} --mix-sharpness 2`);
      const expected = judged(p);
      expect(found.loss).toBeCloseTo(expected.loss, 5);
      expect(found.accuracy).toBeCloseTo(expected.accuracy, 9);
      const logits = judged(g.map((z, i) => softmax(z.map((x, j) => (1 - a) * x + a * h[i]![j]!))));
      const other = await measure(`${line} --mix logits --mix-weight ${a}`);
      expect(other.loss).toBeCloseTo(logits.loss, 5);
      expect(Math.abs(logits.loss - expected.loss)).toBeGreaterThan(1e-3);
    }
  }, 120_000);

  test("with weight 0 and 1 are the one model and the other, to the bit", async () => {
    const [g, h] = [await measure("g/ --data points.jsonl"), await measure("h/ --data points.jsonl")];
    for (const kind of ["probabilities", "logits"]) {
      expect(await measure(`${line} --mix ${kind} --mix-weight 0`)).toEqual(g);
      expect(await measure(`${line} --mix ${kind} --mix-weight 1`)).toEqual(h);
    }
    expect(g.loss).not.toBe(h.loss);
  }, 120_000);

  test("are called by both names, and the gold model is measured alone", async () => {
    const { text } = await run("evaluate", "g/ h/ --with h/ --data points.jsonl --bootstrap 0 --json -q");
    const { rows } = JSON.parse(text) as { rows: { model: string; metric: string; value: number }[] };
    expect([...new Set(rows.map(({ model }) => model))]).toEqual(["g/ with h/", "h/ with h/"]);
    const alone = await measure("h/ --data points.jsonl");
    const mixed = rows.find(({ model, metric }) => model === "h/ with h/" && metric === "loss")!;
    expect(mixed.value).toBeCloseTo(alone.loss!, 5);
  }, 120_000);

  test("a dry run names the other model, and counts its memory", async () => {
    const plan = async (more: string) => {
      const { text, err } = await run("evaluate", `g/ --data points.jsonl -n --json${more}`);
      expect(err).toBe("");
      return JSON.parse(text) as { models: { role: string; model: string }[]; gpu_memory: number };
    };
    const [alone, both] = [await plan(""), await plan(" --with h/")];
    expect(both.models.map(({ role, model }) => `${role} ${model}`)).toEqual(["model g/", "with h/"]);
    expect(both.gpu_memory).toBeGreaterThan(alone.gpu_memory);
  }, 120_000);
});

test("language models of one vocabulary: the mixture is at most log 2 worse than the better of the two", async () => {
  const [one, two] = [await measure("one/ --data texts.jsonl"), await measure("two/ --data texts.jsonl")];
  const half = await measure("one/ --with two/ --data texts.jsonl");
  expect(half.loss).toBeLessThan(Math.min(one.loss!, two.loss!) + Math.LN2);
  expect(half.loss).toBeLessThan((one.loss! + two.loss!) / 2);
  expect(await measure("one/ --with two/ --mix-weight 1 --data texts.jsonl")).toEqual(two);
}, 120_000);

test.each([
  ["g/ --with four/ --data points.jsonl", "g/ has 3 classes, four/ 4\n  hint: name a model like g/ for --with"],
  ["g/ --with wide/ --data points.jsonl", "g/ reads 3, wide/ 4 of another kind"],
  ["g/ --with one/ --data points.jsonl", "g/ and one/ cannot be mixed: one of them is a language model"],
  [
    "one/ --with short/ --data texts.jsonl",
    "one/ reads rows of up to 64 tokens, short/ of 32\n  hint: give --max-length 32",
  ],
  ["g/ --mix-weight 0.3 --data points.jsonl", "--mix-weight has no effect without --with"],
  ["g/ --with h/ --mix-weight 2 --data points.jsonl", "--mix-weight"],
  ["g/ --with h/ --data points.jsonl --dump x.safetensors", "--dump cannot be combined with --with"],
  ["one/ --with two/ --data answers.jsonl --metric exact-match", "the metrics need generated answers"],
  [
    "one/ --with two/ --data forget=texts.jsonl --data holdout=answers.jsonl --metric mia-gradnorm",
    "the metrics need gradients",
  ],
  ["one/ --with two/ --data texts.jsonl --probe trace", "--probe cannot be combined with --with"],
])("refused: %s", async (line, message) => {
  const { err, code } = await run("evaluate", line);
  expect(err).toContain(message);
  expect(code).toBe(2);
});
