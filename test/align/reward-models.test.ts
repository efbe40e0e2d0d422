/**
 * Reward models: losses against float64 and their gradients by differences, the first loss of a head at 0, what pairs
 * the other way round do, known utilities that are learned, and results that give the same rewards from the disk.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type RewardBatch, rewardBatch, rewardBatches } from "../../src/align/reward-models/batches.ts";
import type { RewardMethod } from "../../src/align/reward-models/contract.ts";
import { rewardObjective } from "../../src/align/reward-models/objective.ts";
import type { RewardItem } from "../../src/align/reward-models/rows.ts";
import { open } from "../../src/checkpoint/open.ts";
import { byteTokenizer } from "../../src/data/byte-tokenizer.ts";
import { Random } from "../../src/data/random.ts";
import { encodeSteps } from "../../src/data/steps.ts";
import { type Bound, bindDefaults } from "../../src/method/bind.ts";
import { loadMethod } from "../../src/method/registry.ts";
import { classifierConfig } from "../../src/model/decoder-classifier.ts";
import { describeConfig } from "../../src/model/description.ts";
import { Model } from "../../src/model/model.ts";
import { saveModel } from "../../src/model/save.ts";
import { RewardModel } from "../../src/run/rewarding/reward-model.ts";
import { trainModel } from "../../src/run/training/train-model.ts";
import { Program, profileOf } from "../../src/tensor/program.ts";
import { Recorder } from "../../src/tensor/recorder.ts";
import { runScript } from "../support/command.ts";
import { sharedGpu } from "../support/gpu.ts";
import { checkOp } from "../support/program.ts";
import { normals } from "../support/random.ts";

const gpu = await sharedGpu();
const made = mkdtempSync(join(tmpdir(), "ingot-rewards-"));
afterAll(() => rmSync(made, { recursive: true }));

const TINY = {
  ...{ model_type: "llama", architectures: ["LlamaForCausalLM"], tie_word_embeddings: true },
  ...{ hidden_size: 32, intermediate_size: 64, num_hidden_layers: 2, num_attention_heads: 2, num_key_value_heads: 2 },
  ...{ vocab_size: 260, max_position_embeddings: 64, initializer_range: 0.1 },
};

const methodOf = async (name: string, values: Record<string, unknown> = {}) =>
  bindDefaults(await loadMethod("align", name), values) as Bound<RewardMethod>;

/** A new reward model for a method. */
async function fresh({ method, values }: Bound<RewardMethod>, seed = 3): Promise<Model> {
  const { architecture } = await describeConfig(TINY, "m");
  const head = method.reads === "steps" ? "tokens" : "sequence";
  const json = classifierConfig(TINY, architecture, { head, labels: method.labels(values), padding: 256 });
  return Model.fresh(gpu, json, "m", { seed });
}

const sequence = (text: string) => {
  const ids = byteTokenizer().encode(text);
  return { ids, labels: ids, group: 0, place: text };
};
const pair = (chosen: string, rejected: string, number = 0): RewardItem => ({
  sequences: [sequence(chosen), sequence(rejected)],
  number,
});

/** Loss and metrics of a batch, and the gradient of a weight. */
async function measured(model: Model, chosen: Bound<RewardMethod>, batch: RewardBatch, weight = "score.weight") {
  const objective = rewardObjective({ model, chosen, recompute: false });
  const rec = new Recorder(profileOf(gpu));
  const { backward, metrics } = objective.record(rec, batch, "");
  for (const [name, value] of Object.entries(metrics)) rec.output(name, value);
  rec.backward(backward);
  const program = await Program.compile(gpu, rec);
  objective.fill(program, batch, objective.counted(batch, ""), "");
  program.run({ accumulate: 0 });
  const found: Record<string, number> = {};
  for (const name of Object.keys(metrics)) found[name] = (await program.read(name))[0]!;
  const parameter = model.parameters.get(weight)!;
  const gradient = await gpu.readFloats(parameter.gradient, parameter.size);
  program.free();
  return { ...found, gradient } as { gradient: Float32Array; loss: number; accuracy: number; margin: number };
}

const sigmoid = (x: number) => 1 / (1 + Math.exp(-x));
const softplus = (x: number) => Math.log1p(Math.exp(-Math.abs(x))) + Math.max(x, 0);

describe("losses against float64, gradients by differences", () => {
  const P = 7;
  const f32 = (seed: number, size: number, std = 1) => Float32Array.from(normals(seed, size, std));

  test("Bradley and Terry, with margins and centred", async () => {
    const { method, values } = await methodOf("reward", { center: 0.03 });
    if (method.reads !== "pairs") throw new TypeError("pairs");
    await checkOp(gpu, "bradley-terry", {
      inputs: {
        chosen: { shape: [P, 1], data: f32(1, P) },
        rejected: { shape: [P, 1], data: f32(2, P) },
        margins: { shape: [P], data: f32(3, P), grad: false },
      },
      build: (rec, { chosen, rejected, margins }) =>
        method.loss(rec, { chosen: chosen!, rejected: rejected!, margins: margins!, values }).losses,
      reference: ({ chosen, rejected, margins }) =>
        chosen!.map((won, i) => {
          const lost = rejected![i]!;
          return softplus(-(won - lost - margins![i]!)) + 0.03 * (won + lost) ** 2;
        }),
    });
  });

  test("pairwise, over two planes", async () => {
    const { method, values } = await methodOf("reward-pairwise", { dimension: 2, tau: 0.7 });
    if (method.reads !== "pairs") throw new TypeError("pairs");
    await checkOp(gpu, "pairwise", {
      inputs: {
        chosen: { shape: [P, 4], data: f32(1, 4 * P) },
        rejected: { shape: [P, 4], data: f32(2, 4 * P) },
        margins: { shape: [P], data: new Float32Array(P), grad: false },
      },
      build: (rec, { chosen, rejected, margins }) =>
        method.loss(rec, { chosen: chosen!, rejected: rejected!, margins: margins!, values }).losses,
      reference: ({ chosen: a, rejected: b }) =>
        Float64Array.from({ length: P }, (_, i) => {
          const at = (x: Float64Array, j: number) => x[4 * i + j]!;
          const plane = (j: number) => at(a!, j) * at(b!, j + 2) - at(a!, j + 2) * at(b!, j);
          return softplus(-(plane(0) + plane(1)) / 0.7);
        }),
    });
  });

  test("scores by their squares", async () => {
    const { method, values } = await methodOf("reward-regression");
    if (method.reads !== "scores") throw new TypeError("scores");
    await checkOp(gpu, "scores", {
      inputs: {
        rewards: { shape: [P, 1], data: f32(1, P) },
        scores: { shape: [P, 1], data: f32(2, P), grad: false },
      },
      build: (rec, { rewards, scores }) => method.loss(rec, { rewards: rewards!, scores: scores!, values }).losses,
      reference: ({ rewards, scores }) => rewards!.map((x, i) => (x - scores![i]!) ** 2),
    });
  });
});

describe("a head at 0", () => {
  test("has a loss of ln 2, and pairs the other way round turn its gradient", async () => {
    const chosen = await methodOf("reward", { center: 0.01 });
    const model = await fresh(chosen);
    model.parameters.get("score.weight")!.write(new Float32Array(32));
    const items = [pair("ab: good", "ab: bad"), pair("c: yes", "c: nonono")];
    const turned = items.map(({ sequences: [a, b], number }) => ({ sequences: [b!, a!], number }));
    const one = await measured(model, chosen, rewardBatch(items, 256));
    const other = await measured(model, chosen, rewardBatch(turned, 256));
    expect(one.loss).toBeCloseTo(Math.LN2, 6);
    expect(one.accuracy).toBe(0);
    expect(Math.hypot(...one.gradient)).toBeGreaterThan(0.01);
    for (const [i, x] of one.gradient.entries()) expect(Math.abs(x + other.gradient[i]!)).toBeLessThan(1e-6);
    // With a margin m the loss begins at -log sigmoid(-m).
    const apart = await measured(model, chosen, rewardBatch([pair("a", "b", 1.5)], 256));
    expect(apart.loss).toBeCloseTo(-Math.log(sigmoid(-1.5)), 5);
    model.free();
  });

  test("of tokens has a loss of ln 2 a step, whatever stands between", async () => {
    const chosen = await methodOf("reward-process");
    const model = await fresh(chosen);
    model.parameters.get("score.weight")!.write(new Float32Array(64));
    const steps = encodeSteps(
      { prompt: "p", steps: ["one", "two", "three"], labels: [1, 0, 1], place: "" },
      { tokenizer: byteTokenizer(), separator: "\n", maxLength: 64 },
    );
    expect([...steps.labels.keys()].filter((i) => steps.labels[i]! >= 0).map((i) => steps.ids[i])).toEqual([
      10, 10, 10,
    ]);
    const batch = rewardBatch([{ sequences: [steps], number: 0 }], 256);
    const found = await measured(model, chosen, batch, "score.bias");
    expect(found.loss).toBeCloseTo(Math.LN2, 6);
    // d loss / d bias is p - label, averaged: two of three steps are right.
    expect(found.gradient[1]).toBeCloseTo(0.5 - 2 / 3, 6);
    model.free();
  });
});

/** Trains on items; gives the mean of a metric over the last steps. */
async function trained(model: Model, chosen: Bound<RewardMethod>, items: readonly RewardItem[], steps: number) {
  const last: Record<string, number>[] = [];
  await trainModel<RewardBatch>({
    model,
    source: rewardBatches([{ name: "rows", items }], { batchSize: 16, seed: 1 }, 256),
    objective: rewardObjective({ model, chosen, recompute: false }),
    optimizer: bindDefaults(await loadMethod("optimizer", "adamw")),
    rate: () => 3e-3,
    ...{ steps, seed: 1, name: "m", advice: "" },
    signal: new AbortController().signal,
    onStep: ({ metrics }) => {
      last.push(metrics);
    },
  });
  const tail = last.slice(-8);
  return (name: string) => tail.reduce((sum, metrics) => sum + metrics[name]!, 0) / tail.length;
}

test("preferences in a circle are learned by the pairwise head alone", async () => {
  const answers = ["q: a", "q: b", "q: c"];
  const items = Array.from({ length: 48 }, (_, i) => pair(answers[i % 3]!, answers[(i + 1) % 3]!));
  const [circle, line] = [await methodOf("reward-pairwise"), await methodOf("reward")];
  const [general, ordered] = [await fresh(circle), await fresh(line)];
  expect((await trained(general, circle, items, 40))("accuracy")).toBe(1);
  const said = await trained(ordered, line, items, 40);
  expect(said("accuracy")).toBeLessThan(0.7); // two of three at most
  expect(said("loss")).toBeGreaterThan(Math.LN2 - 0.02);
  general.free();
  ordered.free();
});

/** What an answer is worth in the bed: a's less z's. */
const worth = (answer: string) => answer.split("a").length - answer.split("z").length;

function drawnAnswer(random: Random): string {
  return Array.from({ length: 3 + random.below(5) }, () => "abcxyz"[random.below(6)]!).join("");
}

const lines = (rows: readonly object[]) => rows.map((row) => `${JSON.stringify(row)}\n`).join("");

function pairsBed(count: number, seed: number) {
  const random = new Random(seed, "pairs");
  const rows: { prompt: string; chosen: string; rejected: string }[] = [];
  while (rows.length < count) {
    const [a, b] = [drawnAnswer(random), drawnAnswer(random)];
    if (worth(a) === worth(b)) continue;
    const [chosen, rejected] = worth(a) > worth(b) ? [a, b] : [b, a];
    rows.push({ prompt: "say: ", chosen, rejected });
  }
  return rows;
}

describe("the script", () => {
  const file = (name: string) => join(made, name);
  const run = async (...argv: string[]) => {
    const ran = await runScript(argv[0]!, argv.slice(1), made);
    if (ran.code !== 0) throw new Error(ran.err);
    return ran;
  };
  const HELD = pairsBed(100, 2);

  beforeAll(async () => {
    writeFileSync(file("config.json"), JSON.stringify(TINY));
    writeFileSync(file("text.jsonl"), lines([{ text: "abc" }]));
    writeFileSync(file("pairs.jsonl"), lines(pairsBed(320, 1)));
    writeFileSync(file("held.jsonl"), lines(HELD));
    await run(..."train --init config.json --tokenizer byte --data text.jsonl --steps 1 --lr 1e-6 -o lm/".split(" "));
  });

  test("learns a known utility, and gives the same rewards from the disk; transformers' names and config", async () => {
    const options = "--data pairs.jsonl --epochs 4 --batch-size 16 --lr 3e-3 --center 0.01 --head zero";
    const { text } = await run(..."align lm/ --method reward --json -o rm/".split(" "), ...options.split(" "));
    const told = JSON.parse(text);
    expect(Object.keys(told)).toEqual(
      expect.arrayContaining(["loss", "accuracy", "margin", "reward_chosen", "reward_rejected", "reward"]),
    );
    expect(JSON.parse(readFileSync(file("rm/config.json"), "utf8"))).toMatchObject({
      ...{ architectures: ["LlamaForSequenceClassification"], model_type: "llama", pad_token_id: 256 },
      ...{ num_labels: 1, id2label: { "0": "LABEL_0" }, label2id: { LABEL_0: 0 } },
    });
    const checkpoint = await open(file("rm"));
    expect(checkpoint.tensors.get("score.weight")!.shape).toEqual([1, 32]);
    expect(checkpoint.tensors.has("lm_head.weight")).toBe(false);
    expect(checkpoint.lineage.at(-1)).toMatchObject({ script: "align", method: "reward" });
    checkpoint.close();

    const rows = HELD.flatMap(({ prompt, chosen, rejected }) =>
      [chosen, rejected].map((answer) => ({ prompt, answer, place: "" })),
    );
    const scores: Float64Array[] = [];
    for (const batch of [16, 5]) {
      const judge = await RewardModel.open(gpu, file("rm"), { rows: batch });
      scores.push(await judge.score(rows));
      expect(await judge.score(rows)).toEqual(scores.at(-1)!);
      judge.free();
    }
    const [all, again] = scores as [Float64Array, Float64Array];
    expect(Math.max(...all.map((x, i) => Math.abs(x - again[i]!)))).toBeLessThan(1e-5);
    const right = HELD.filter((_, i) => all[2 * i]! > all[2 * i + 1]!).length / HELD.length;
    expect(right).toBeGreaterThan(0.95);
    expect(Math.abs(all.reduce((a, b) => a + b, 0) / all.length)).toBeLessThan(0.5);

    // Loaded, saved and loaded again.
    const source = await open(file("rm"));
    const model = await Model.load(gpu, source);
    await saveModel(model, file("copy/"), { files: source.files, lineage: source.lineage });
    model.free();
    source.close();
    const copy = await RewardModel.open(gpu, file("copy"));
    expect(await copy.score(rows)).toEqual(all);
    copy.free();

    const measured = JSON.parse(
      (await run(..."evaluate rm/ --data held.jsonl --metric preference --json".split(" "))).text,
    );
    expect(JSON.stringify(measured)).toContain(`${right}`);
    const lm = await run(..."evaluate lm/ --data held.jsonl --metric preference --json".split(" "));
    expect(lm.text).toContain("preference");
  });

  test("judges as a verifier, and refuses what gives no reward", async () => {
    const answers = ["aaaa", "zzzz"].map((answer) => ({ prompt: "say: ", answer, row: { prompt: "say: " } }));
    writeFileSync(file("answers.jsonl"), lines(answers));
    const { text } = await run(..."align score answers.jsonl --reward model:rm/".split(" "));
    const [good, bad] = text
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line).reward);
    expect(good - bad).toBeGreaterThan(1);
    const { code, err } = await runScript("align", ["score", "answers.jsonl", "--reward", "model:lm/"], made);
    expect([code === 0, err]).toEqual([false, expect.stringContaining("gives no reward: it is a llama causal-lm")]);
  });

  test("an adapter holds the head, and base+adapter is the reward model", async () => {
    const options = "--data pairs.jsonl --epochs 2 --batch-size 16 --lr 5e-3 --lora --lora-rank 4";
    await run(..."align lm/ --method reward -o adapter/".split(" "), ...options.split(" "));
    const judge = await RewardModel.open(gpu, `${file("lm")}+${file("adapter")}`);
    const [good, bad] = await judge.score(["aaaa", "zzzz"].map((answer) => ({ prompt: "say: ", answer, place: "" })));
    expect(good! - bad!).toBeGreaterThan(1);
    judge.free();
  });

  test("steps are told right or wrong, and an answer is worth what its worst step is", async () => {
    const random = new Random(5, "steps");
    const rows = Array.from({ length: 240 }, () => {
      const steps = Array.from({ length: 1 + random.below(3) }, () => drawnAnswer(random));
      return {
        prompt: "go: ",
        completions: steps,
        labels: steps.map((step) => step.endsWith("a") || step.endsWith("b")),
      };
    });
    writeFileSync(file("steps.jsonl"), lines(rows));
    const options = "--data steps.jsonl --epochs 4 --batch-size 16 --lr 5e-3";
    const { text } = await run(..."align lm/ --method reward-process --json -o prm/".split(" "), ...options.split(" "));
    expect(JSON.parse(text).accuracy).toBeGreaterThan(0.95);
    expect(JSON.parse(readFileSync(file("prm/config.json"), "utf8"))).toMatchObject({
      architectures: ["LlamaForTokenClassification"],
      num_labels: 2,
    });
    const judge = await RewardModel.open(gpu, file("prm"));
    const answers = ["xya\nxyb", "xya\nxyz"].map((answer) => ({ prompt: "go: ", answer, place: "" }));
    const [good, bad] = await judge.score(answers);
    expect(good!).toBeGreaterThan(0.8);
    expect(bad!).toBeLessThan(0.2);
    judge.free();
  });

  test("scores of single answers are learned", async () => {
    const random = new Random(6, "scores");
    const rows = Array.from({ length: 240 }, () => {
      const completion = drawnAnswer(random);
      return { prompt: "say: ", completion, score: worth(completion) };
    });
    writeFileSync(file("scores.jsonl"), lines(rows));
    const options = "--data scores.jsonl --epochs 4 --batch-size 16 --lr 5e-3";
    const { text } = await run(
      ..."align lm/ --method reward-regression --json -o sm/".split(" "),
      ...options.split(" "),
    );
    expect(JSON.parse(text).error).toBeLessThan(0.5);
  });

  test.each([
    ["align lm/ --method reward --data steps.jsonl -o x/", "learns from pairs of answers, found a row of prompt"],
    ["align lm/ --method reward-process --data pairs.jsonl -o x/", "expected prompt, completions"],
    ["align rm/ --method reward-process --data steps.jsonl -o x/", "has a head of 1 labels for a whole text"],
    ["evaluate rm/ --data scores.jsonl --metric preference", "needs prompt, chosen and rejected"],
    ["evaluate prm/ --data held.jsonl --metric preference", "neither a likelihood nor a reward"],
    ["evaluate rm/ --data held.jsonl --metric preference,loss", "reads two answers a row"],
    ["train rm/ --data classes.jsonl -o x/", "gives a text one number"],
    ["train prm/ --data classes.jsonl -o x/", "gives every token a class"],
  ])("%s: %s", async (line, message) => {
    writeFileSync(file("classes.jsonl"), lines([{ text: "a", label: 0 }]));
    const [name, ...argv] = line.split(" ");
    const { code, err } = await runScript(name!, argv, made);
    expect([code === 0, err.includes(message) || err]).toEqual([false, true]);
  });
});
