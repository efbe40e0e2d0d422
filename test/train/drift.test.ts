/** Streams that are answered before they are learnt, and a router that learns which classifiers are right. */
import { afterAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { correctRows } from "../../src/tensor/ops/correct.ts";
import { correctness, markLoss } from "../../src/train/losses/correctness.ts";
import { Prequential } from "../../src/train/prequential.ts";
import { tensorsOf } from "../support/checkpoint-values.ts";
import { runScript } from "../support/command.ts";
import { sharedGpu } from "../support/gpu.ts";
import { checkOp, runOp } from "../support/program.ts";
import { normals } from "../support/random.ts";
import { writeWeights } from "../support/weight-file.ts";

setDefaultTimeout(120_000); // the machine may be busy

const gpu = await sharedGpu();
const folder = mkdtempSync(join(tmpdir(), "ingot-drift-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const at = (name: string) => join(folder, name);

const CLASSES = 4;
const means = Array.from({ length: CLASSES }, (_, c) => normals(900 + c, 8, 1.2));
/** Rows about four means, whose labels are others from the middle on. */
const rows = Array.from({ length: 2400 }, (_, i) => {
  const kind = (i * 7919) % CLASSES;
  const x = [...normals(i, 8)].map((value, j) => Number((value + means[kind]![j]!).toFixed(4)));
  return { x, label: i < 1200 ? kind : (kind + 1) % CLASSES };
});
const lines = (from: number, end: number) =>
  `${rows
    .slice(from, end)
    .map((row) => JSON.stringify(row))
    .join("\n")}\n`;
writeFileSync(at("stream.jsonl"), lines(0, 2400));
writeFileSync(at("short.jsonl"), lines(0, 60));
const MLP = { model_type: "mlp", input_size: 8, hidden_sizes: [16], num_labels: CLASSES };
writeFileSync(at("one.json"), JSON.stringify(MLP));
for (const experts of [1, 6])
  writeFileSync(
    at(`experts-${experts}.json`),
    JSON.stringify({ ...MLP, model_type: "mlp-experts", num_experts: experts, router_sizes: [32, 16] }),
  );

async function train(...argv: string[]): Promise<Record<string, number>> {
  const { code, text, err } = await runScript("train", [...argv, "--json", "-q"], folder);
  expect(err).toBe("");
  expect(code).toBe(0);
  return JSON.parse(text) as Record<string, number>;
}

const LINE = "--prequential --batch-size 8 --schedule constant --save-every 0 --log-every 1".split(" ");
const EXPERTS = ["--loss", "correctness"];

/** Mean accuracy of the steps of a log from one on. */
function accuracyOf(log: string, from: number, end: number): number {
  const steps = readFileSync(at(log), "utf8")
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as { event: string; accuracy: number })
    .filter(({ event }) => event === "step")
    .slice(from, end);
  return steps.reduce((sum, { accuracy }) => sum + accuracy / steps.length, 0);
}

test("rows are right where the first of their largest logits is the label's", async () => {
  const { outputs } = await runOp(gpu, {
    inputs: {
      logits: { shape: [4, 3], data: Float32Array.of(1, 2, 0, 5, 1, 5, 5, 1, 5, 0, 0, 1) },
      targets: { shape: [4], data: Int32Array.of(1, 0, 2, 2), dtype: "i32" },
    },
    build: (rec, { logits, targets }) => correctRows(rec, logits!, targets!),
  });
  expect([...outputs.y!.subarray(0, 4)]).toEqual([1, 1, 0, 1]);
});

describe("a router's marks", () => {
  test("are the experts that are right, or the one that finds the label likeliest", async () => {
    const { outputs } = await runOp(gpu, {
      inputs: {
        a: { shape: [3, 2], data: Float32Array.of(2, 0, 3, 0, 0, 1) },
        b: { shape: [3, 2], data: Float32Array.of(0, 1, 1, 0, 0, 2) },
        targets: { shape: [3], data: Int32Array.of(0, 1, 1), dtype: "i32" },
      },
      build: (rec, { a, b, targets }) => correctness(rec, [a!, b!], targets!),
    });
    // a alone is right; none is, and b is nearer to it; both are
    expect([...outputs.y!.subarray(0, 6)]).toEqual([1, 0, 0, 1, 1, 1]);
  });

  test("are learnt by binary cross-entropy", async () => {
    const marks = Float32Array.of(1, 0, 1, 0, 0, 1);
    await checkOp(gpu, "mark loss", {
      inputs: { logits: { shape: [2, 3], data: normals(4, 6, 2) } },
      build: (rec, { logits }) => markLoss(rec, logits!, rec.constant(marks, [2, 3], "marks")),
      reference: ({ logits }) => {
        const losses = logits!.map((g, i) => Math.log1p(Math.exp(marks[i] === 1 ? -g : g)));
        return Float64Array.of(...[0, 3].map((at) => (losses[at]! + losses[at + 1]! + losses[at + 2]!) / 3));
      },
    });
  });
});

test("a stream's numbers are those of all rows, and go on from a state", () => {
  const [whole, second] = [new Prequential(), new Prequential()];
  whole.heard({ metrics: { loss: 2, accuracy: 0.25 }, counted: 8 });
  second.load(whole.state());
  second.heard({ metrics: { loss: 1, accuracy: 1 }, counted: 4 });
  expect(second.told()).toEqual({ prequential_accuracy: 0.5, prequential_loss: (2 * 8 + 4) / 12 });
});

test("one expert is a single learner", async () => {
  const once = "--steps 1 --lr 1e-30 --save-every 0".split(" ");
  await train("--init", "experts-1.json", "--data", "short.jsonl", ...once, "-o", "start/");
  const weights = await tensorsOf(at("start"));
  const alone = [...weights].flatMap(([name, values]) => {
    const own = name.replace("experts.0.layers.0", "layers.0").replace("experts.0.layers.1", "classifier");
    const shape = /bias$/.test(name) ? [values.length] : own === "layers.0.weight" ? [16, 8] : [CLASSES, 16];
    return name.startsWith("router") ? [] : [[own, { shape, values }] as const];
  });
  mkdirSync(at("alone"));
  await writeWeights(at("alone/model.safetensors"), Object.fromEntries(alone));
  writeFileSync(at("alone/config.json"), JSON.stringify(MLP));
  const line = [...LINE, "--data", "short.jsonl", "--lr", "0.01"];
  const mixed = await train("start/", ...line, ...EXPERTS, "-o", "mixed/");
  const single = await train("alone/", ...line, "-o", "single/");
  expect(mixed.prequential_accuracy!).toBeCloseTo(single.prequential_accuracy!, 6);
  expect(mixed.prequential_loss!).toBeCloseTo(single.prequential_loss!, 4);
});

test("after an abrupt drift a mixture is right again sooner than one model with the same updates", async () => {
  const line = [...LINE, "--data", "stream.jsonl", "--lr", "4e-3", "--seed", "2"];
  const one = await train("--init", "one.json", ...line, "--log", "one.log", "-o", "one/");
  const mixture = await train("--init", "experts-6.json", ...line, ...EXPERTS, "--log", "many.log", "-o", "many/");
  // The drift is at step 150. A router that chose at random would be right in 1 of 6 of the cases that it could be.
  expect(accuracyOf("many.log", 110, 150)).toBeGreaterThan(0.7);
  expect(accuracyOf("many.log", 190, 250)).toBeGreaterThan(accuracyOf("one.log", 190, 250) + 0.05);
  expect(mixture.prequential_accuracy!).toBeGreaterThan(one.prequential_accuracy! + 0.05);
});

test("says what a stream or a mixture does not go with", async () => {
  const refused = async (...argv: string[]) => (await runScript("train", [...argv, "-o", "no/"], folder)).err;
  const data = ["--data", "short.jsonl"];
  expect(await refused("--init", "one.json", ...data, "--prequential", "--epochs", "2")).toContain(
    "--epochs says otherwise",
  );
  expect(await refused("--init", "one.json", ...data, ...EXPERTS)).toContain("mlp has none");
});
