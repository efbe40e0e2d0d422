/** Rows that are made to teach: matching of trajectories, what ast adds to it, and the command. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { open } from "../../src/checkpoint/open.ts";
import { representatives } from "../../src/distill/data/clusters.ts";
import { batchOf, expertPath, weightsWith } from "../../src/distill/data/experts.ts";
import { matchingLoss } from "../../src/distill/data/matching.ts";
import { type Unrolled, unrolled } from "../../src/distill/data/unrolled.ts";
import { balance, clipping, perturbed } from "../../src/distill/syntheses/ast.ts";
import { describeConfig } from "../../src/model/description.ts";
import { freshWeights, networkOf, trainable } from "../../src/run/twice/network.ts";
import { crossEntropy } from "../../src/tensor/twice/ops.ts";
import { constant, gradients, type Value, variable } from "../../src/tensor/twice/value.ts";
import { runScript } from "../support/command.ts";
import { normals } from "../support/random.ts";

setDefaultTimeout(60_000);

const NET = { model_type: "mlp", input_size: 3, hidden_sizes: [4], num_labels: 2 };
const network = networkOf(await describeConfig(NET, "net"), "net", "this test");
const rest = freshWeights(network, 3);
const start = trainable(network).map(({ name }) => rest.get(name)!);
const LABELS = [0, 1, 1, 0];
const numbers = Float64Array.from(normals(5, 12));
const real = { x: Float64Array.from(normals(8, 60)), labels: Array.from({ length: 20 }, (_, i) => i % 2) };
const signal = new AbortController().signal;
const EXPERT = {
  ...{ experts: 1, expert_epochs: 4, expert_lr: 0.05, expert_batch: 5, expert_momentum: 0.5, expert_decay: 1e-3 },
};

const stepsOf = (x: Value, rate: Value, given: Partial<Unrolled> = {}) =>
  unrolled(start, {
    ...{ network, rest, x, labels: LABELS, rate, steps: 5, momentum: 0, factor: 1, picked: () => [0, 1, 2, 3] },
    ...given,
  });

describe("steps on synthetic rows", () => {
  test("are those of gradient descent with momentum", () => {
    const [momentum, rate, factor] = [0.9, 0.1, 1.5];
    const went = stepsOf(constant(numbers, [4, 3]), constant([rate], [1]), { momentum, factor }).at(-1)!;
    let weights = start.map(({ data }) => data.slice());
    let speeds = weights.map(({ length }) => new Float64Array(length));
    for (let step = 0; step < 5; step++) {
      const now = weights.map((w, i) => variable(w, start[i]!.shape));
      const { x, targets } = batchOf({ x: numbers, labels: LABELS }, [0, 1, 2, 3], network);
      const loss = crossEntropy(network.logits(weightsWith(network, now, rest), constant(x, [4, 3])), targets);
      const slopes = gradients(loss, now);
      speeds = speeds.map((v, i) => v.map((old, j) => momentum * old + factor * slopes[i]!.data[j]!));
      weights = weights.map((w, i) => w.map((old, j) => old - rate * speeds[i]![j]!));
    }
    for (const [i, w] of weights.entries())
      for (const [j, wanted] of w.entries()) expect(went[i]!.data[j]!).toBeCloseTo(wanted, 10);
  });

  const path = expertPath(network, real, EXPERT, { seed: 1, expert: 0, signal }).map((weights) =>
    weights.map((w, i) => constant(w, start[i]!.shape)),
  );

  test.each([false, true])("leave the matching loss at 1 where their rate is 0 (between: %p)", (between) => {
    const went = unrolled(path[1]!, {
      ...{ network, rest, x: constant(numbers, [4, 3]), labels: LABELS, rate: constant([0], [1]), steps: 5 },
      ...{ momentum: 0.9, factor: 1, picked: () => [0, 1, 2, 3] },
    });
    expect(matchingLoss(went, path, { epoch: 1, target: 3, between }).data[0]!).toBeCloseTo(1, 12);
  });

  test("have the gradients of differences, by rows and by rate", () => {
    const lossAt = (data: Float64Array, rate: number) => {
      const [x, learning] = [variable(data, [4, 3]), variable([rate], [1])];
      const went = stepsOf(x, learning, { momentum: 0.9, factor: 1.2, picked: (step) => [step % 4, (step + 1) % 4] });
      const loss = matchingLoss(went, path, { epoch: 0, target: 2, between: true });
      return { loss: loss.data[0]!, slopes: () => gradients(loss, [x, learning], { once: true }) };
    };
    const [byRows, byRate] = lossAt(numbers, 0.2).slopes();
    const along = (data: (by: number) => number) => (data(1e-5) - data(-1e-5)) / 2e-5;
    expect(byRate!.data[0]!).toBeCloseTo(
      along((by) => lossAt(numbers, 0.2 + by).loss),
      6,
    );
    for (const [i, slope] of byRows!.data.entries())
      expect(slope).toBeCloseTo(
        along(
          (by) =>
            lossAt(
              numbers.map((v, j) => (i === j ? v + by : v)),
              0.2,
            ).loss,
        ),
        6,
      );
  });
});

describe("experts", () => {
  test("keep their weights after every epoch, and the loss of real rows falls along them", () => {
    const path = expertPath(network, real, EXPERT, { seed: 1, expert: 0, signal });
    const { x, targets } = batchOf(real, [...real.labels.keys()], network);
    const losses = path.map((weights) => {
      const learning = weights.map((w, i) => constant(w, start[i]!.shape));
      return crossEntropy(network.logits(weightsWith(network, learning, rest), constant(x, [20, 3])), targets).data[0]!;
    });
    expect(losses).toHaveLength(5);
    expect(losses.at(-1)!).toBeLessThan(losses[0]!);
  });

  test("a penalty brings the gradient by rows nearer to 1", () => {
    const apart = (penalty: number) => {
      const last = expertPath(network, real, { ...EXPERT, expert_epochs: 20 }, { penalty, seed: 1, expert: 0, signal });
      const x = variable(real.x, [20, 3]);
      const learning = last.at(-1)!.map((w, i) => constant(w, start[i]!.shape));
      const [slope] = gradients(network.logits(weightsWith(network, learning, rest), x), [x], { once: true });
      const norms = real.labels.map((_, i) => Math.hypot(...slope!.data.slice(3 * i, 3 * i + 3)));
      return norms.reduce((sum, norm) => sum + (norm - 1) ** 2, 0) / 20;
    };
    expect(apart(1)).toBeLessThan(0.5 * apart(0));
  });

  test("of ast begin slowly, and steps from late beginnings weigh more", () => {
    expect([0, 1, 9, 10].map(clipping)).toEqual([0.5, 0.55, 0.95, 1]);
    const log5 = (x: number) => Math.log(x) / Math.log(5);
    for (const [epoch, wanted] of [
      [0, 1 / log5(18)],
      [9, 1 / log5(9)],
      [10, log5(8)],
      [19, log5(17)],
    ] as const)
      expect(balance(epoch, 20)).toBeCloseTo(wanted, 12);
  });

  test("of ast begin beside an expert's matrices, and at its vectors", () => {
    const w = Float64Array.from(normals(1, 12));
    expect(perturbed(w, [12], 1, 0)).toBe(w);
    const moved = perturbed(w, [3, 4], 0.5, 0);
    // Relative changes are a direction of length alpha.
    expect(Math.hypot(...moved.map((x, i) => x / w[i]! - 1))).toBeCloseTo(0.5, 10);
  });
});

test("rows that stand for clusters are members of each", () => {
  const points = [0, 0.1, 0.2, 5, 5.1, 5.2, 9].map((x) => Float64Array.of(x));
  expect(representatives(points, 3, 1).sort()).toEqual([1, 4, 6]);
  const same = Array.from({ length: 4 }, () => Float64Array.of(1));
  expect(new Set(representatives(same, 3, 1)).size).toBe(3);
});

describe("the command", () => {
  let folder = "";
  const run = (line: string) => runScript("distill", line.split(" "), folder);
  const QUICK = "--per-class 2 --steps 2 --experts 1 --expert-epochs 2 --start-epochs 1 --inner-steps 3";
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), "ingot-few-rows-"));
    const lines = real.labels.map((label, i) => JSON.stringify({ x: [...real.x.slice(3 * i, 3 * i + 3)], label }));
    writeFileSync(join(folder, "real.jsonl"), `${lines.join("\n")}\n`);
    writeFileSync(join(folder, "net.json"), JSON.stringify(NET));
    const decoder = { hidden_size: 8, intermediate_size: 8, num_hidden_layers: 1, num_attention_heads: 1 };
    writeFileSync(join(folder, "text.json"), JSON.stringify({ model_type: "llama", ...decoder, vocab_size: 264 }));
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  test("writes rows that train reads, and tensors with their history; the same for the same seed", async () => {
    const line = `--init net.json --data real.jsonl ${QUICK} --seed 3`;
    const made = await run(`--target data --method ast ${line} --tensors few.safetensors -o few.jsonl --json`);
    expect([made.code, made.err]).toEqual([0, expect.stringContaining("steps of gradient descent at a rate of")]);
    const told = JSON.parse(made.text) as Record<string, unknown>;
    expect(told).toMatchObject({ file: "few.jsonl", method: "ast", rows: 4, per_class: 2, steps: 2, real_rows: 20 });
    const text = readFileSync(join(folder, "few.jsonl"), "utf8");
    const rows = text
      .trimEnd()
      .split("\n")
      .map((each) => JSON.parse(each) as { x: number[]; label: number });
    expect(rows.map(({ x, label }) => [x.length, label])).toEqual([0, 0, 1, 1].map((label) => [3, label]));
    const again = await run(`data ${line}`);
    expect(again.text).toBe(text);
    const tensors = await open(join(folder, "few.safetensors"));
    expect([...tensors.tensors.values()].map(({ name, dtype, shape }) => [name, dtype, shape])).toEqual([
      ["x", "F32", [4, 3]],
      ["y", "I32", [4]],
      ["lr", "F32", [1]],
    ]);
    expect(tensors.lineage.at(-1)).toMatchObject({ script: "distill", method: "ast", seed: 3 });
    tensors.close();
    const learnt = await runScript(
      "train",
      "--init net.json --data few.jsonl --steps 1 --save-every 0 -o fresh.safetensors".split(" "),
      folder,
    );
    expect([learnt.code, learnt.err.includes("error")]).toEqual([0, false]);
  });

  test.each(["mtt", "unrolled"])("%s writes as many rows of each class", async (method) => {
    const own = method === "mtt" ? QUICK : "--per-class 2 --steps 2 --inner-steps 3";
    const { code, text } = await run(`--target=data --method ${method} --init net.json --data real.jsonl ${own}`);
    const labels = text
      .trimEnd()
      .split("\n")
      .map((each) => (JSON.parse(each) as { label: number }).label);
    expect([code, labels]).toEqual([0, [0, 0, 1, 1]]);
  });

  test.each([
    ["--init text.json --data real.jsonl", "text.json is a causal-lm; --method ast goes back through steps"],
    ["--init net.json", "--method ast needs the real rows"],
    ["net.json --data real.jsonl", "trains networks of its own, and net.json is a model"],
    ["--init net.json --data real.jsonl --per-class 11", "class 0 has 10 rows, and 11 synthetic ones"],
    ["--init net.json --data real.jsonl --start-epochs 30", "go beyond the 20 epochs of an expert"],
    ["--init net.json --data real.jsonl --tensors few.json", "--tensors few.json: it is one file of tensors"],
    ["--init net.json --data real.jsonl --expert-lr 1e200", "expert 1 went beyond every number in epoch"],
  ])("refuses %s", async (line, message) => {
    const { code, err } = await run(`--target data ${line}`);
    expect([code > 0, err]).toEqual([true, expect.stringContaining(message)]);
  });
});
