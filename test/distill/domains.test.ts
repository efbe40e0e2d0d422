/** Meta-DMoE: the aggregator in plain arithmetic, the step and the way back through it, and the command. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Random } from "../../src/data/random.ts";
import { episodeLoss } from "../../src/distill/domains/meta-training.ts";
import { describeConfig } from "../../src/model/description.ts";
import { aggregated, freshAggregator } from "../../src/run/twice/aggregator.ts";
import { freshWeights, networkOf } from "../../src/run/twice/network.ts";
import { movingNames, oneStep } from "../../src/run/twice/one-step.ts";
import type { Weights } from "../../src/run/twice/pass.ts";
import { mean, mul, oneHot, sub } from "../../src/tensor/twice/ops.ts";
import { constant, gradients, variable } from "../../src/tensor/twice/value.ts";
import { runScript } from "../support/command.ts";
import { normals } from "../support/random.ts";

setDefaultTimeout(60_000);

const NET = { model_type: "mlp", input_size: 3, hidden_sizes: [5, 4], num_labels: 2 };
const network = networkOf(await describeConfig(NET, "net"), "net", "this test");
const FORM = { width: 4, heads: 2, classes: 2 };
const numbers = (seed: number, rows: number, columns: number) =>
  constant(normals(seed, rows * columns), [rows, columns]);
const free = (weights: Weights): Map<string, ReturnType<typeof variable>> =>
  new Map([...weights].map(([name, { data, shape }]) => [name, variable(data, shape)] as const));

test("the aggregator is a transformer's layer over experts, and their mean", () => {
  const weights = new Map(
    [...freshAggregator(FORM, 3)].map(
      ([name, { shape, data }], i) =>
        // Biases and gains of their own, so that each shows.
        [
          name,
          constant(shape.length === 1 ? [...normals(i, data.length)].map((v) => 1 + 0.3 * v) : data, shape),
        ] as const,
    ),
  );
  const tokens = [numbers(1, 1, 4), numbers(2, 1, 4), numbers(3, 1, 4)];
  const w = (name: string) => weights.get(name)!.data;
  const layer = (name: string, x: number[]) =>
    Array.from(w(`${name}.bias`), (b, o) =>
      x.reduce((sum, v, i) => sum + v * w(`${name}.weight`)[o * x.length + i]!, b),
    );
  const normed = (name: string, x: number[]) => {
    const middle = x.reduce((a, b) => a + b, 0) / x.length;
    const deviation = Math.sqrt(x.reduce((a, b) => a + (b - middle) ** 2, 0) / x.length + 1e-5);
    return x.map((v, i) => ((v - middle) / deviation) * w(`${name}.weight`)[i]! + w(`${name}.bias`)[i]!);
  };
  const plain = tokens.map(({ data }) => [...data]);
  const read = plain.map((x) => normed("attention.norm", x));
  const [q, k, v] = ["query", "key", "value"].map((name) => read.map((x) => layer(`attention.${name}`, x)));
  const made = plain.map((x, i) => {
    const taken = [0, 1, 2, 3].map((d) => {
      const head = 2 * Math.floor(d / 2);
      const scores = k!.map((key) =>
        Math.exp((q![i]![head]! * key[head]! + q![i]![head + 1]! * key[head + 1]!) / Math.SQRT2),
      );
      const total = scores.reduce((a, b) => a + b, 0);
      return v!.reduce((sum, value, j) => sum + (scores[j]! / total) * value[d]!, 0);
    });
    const h = layer("attention.output", taken).map((y, d) => y + x[d]!);
    const up = layer("feed_forward.up", normed("feed_forward.norm", h)).map((y) => Math.max(0, y));
    return layer("feed_forward.down", up).map((y, d) => y + h[d]!);
  });
  const found = aggregated(weights, FORM, tokens).data;
  for (const d of [0, 1, 2, 3]) expect(found[d]!).toBeCloseTo((made[0]![d]! + made[1]![d]! + made[2]![d]!) / 3, 10);
  // In whatever order, and with none dropped where the share is 0.
  const again = aggregated(weights, FORM, [...tokens].reverse(), { drop: 0, random: new Random(1) }).data;
  for (const d of [0, 1, 2, 3]) expect(again[d]!).toBeCloseTo(found[d]!, 12);
  expect(aggregated(weights, FORM, tokens, { drop: 0.5, random: new Random(1) }).data).not.toEqual(found);
});

describe("one step", () => {
  const weights = freshWeights(network, 1);
  const [x, target] = [numbers(4, 6, 3), numbers(5, 6, 4)];

  test("leaves the student as it is at a rate of 0, and never moves the head", () => {
    const still = oneStep(network, weights, { x, target, rate: 0 });
    expect(network.logits(still, x).data).toEqual(network.logits(weights, x).data);
    const moved = oneStep(network, weights, { x, target, rate: 0.1 });
    expect(moved.get("classifier.weight")!.data).toEqual(weights.get("classifier.weight")!.data);
    expect(movingNames(network)).not.toContain("classifier.bias");
  });

  test("brings the features nearer to the target", () => {
    const gap = (own: Weights) => {
      const apart = sub(network.features(own, x), target);
      return mean(mul(apart, apart)).data[0]!;
    };
    expect(gap(oneStep(network, weights, { x, target, rate: 0.05 }))).toBeLessThan(gap(weights));
  });

  test("has gradients of differences, into the student and the aggregator; in first order another for the student", () => {
    const [own, other] = [freshWeights(network, 1), freshAggregator(FORM, 2)];
    const episode = {
      ...{ support: x, features: [numbers(6, 6, 4), numbers(7, 6, 4)], query: numbers(8, 4, 3) },
      ...{ targets: oneHot([0, 1, 1, 0], 2), rate: 0.5 },
    };
    const lossOf = (student: Weights, aggregator: Weights, firstOrder = false) =>
      episodeLoss({ network, weights: student }, { weights: aggregator, form: FORM }, { ...episode, firstOrder });
    const slopes = (firstOrder: boolean) => {
      const [student, aggregator] = [free(own), free(other)];
      const names = ["layers.0.weight", "classifier.weight"];
      const by = [...names.map((name) => student.get(name)!), aggregator.get("attention.value.weight")!];
      return gradients(lossOf(student, aggregator, firstOrder), by).map(({ data }) => data);
    };
    const moved = (weights: Weights, name: string, i: number, by: number): Weights => {
      const { data, shape } = weights.get(name)!;
      return new Map([
        ...weights,
        [
          name,
          constant(
            data.map((v, j) => (i === j ? v + by : v)),
            shape,
          ),
        ],
      ]);
    };
    const [first, head, values] = slopes(false);
    const near = (found: number, of: (by: number) => number) =>
      expect(found).toBeCloseTo((of(1e-5) - of(-1e-5)) / 2e-5, 6);
    for (const i of [0, 4, 11]) {
      near(first![i]!, (by) => lossOf(moved(own, "layers.0.weight", i, by), other).data[0]!);
      near(values![i]!, (by) => lossOf(own, moved(other, "attention.value.weight", i, by)).data[0]!);
    }
    near(head![3]!, (by) => lossOf(moved(own, "classifier.weight", 3, by), other).data[0]!);
    const short = slopes(true);
    expect(short[1]).toEqual(head!);
    for (const [i, slope] of short[2]!.entries()) expect(slope).toBeCloseTo(values![i]!, 12);
    expect(Math.max(...short[0]!.map((slope, i) => Math.abs(slope - first![i]!)))).toBeGreaterThan(1e-4);
  });
});

describe("the command", () => {
  let folder = "";
  const run = (script: string, line: string) => runScript(script, line.split(" "), folder);
  const EXPERTS = "--teacher one/ --teacher two/";
  const QUICK = "--heads 2 --aggregator-steps 2 --steps 2 --support 4";
  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), "ingot-domains-"));
    writeFileSync(join(folder, "net.json"), JSON.stringify(NET));
    const rows = (seed: number, label: (i: number) => object) =>
      Array.from({ length: 12 }, (_, i) => JSON.stringify({ x: [...normals(20 * seed + i, 3)], ...label(i) })).join(
        "\n",
      );
    for (const seed of [1, 2])
      writeFileSync(
        join(folder, `${seed}.jsonl`),
        rows(seed, (i) => ({ label: i % 2 })),
      );
    writeFileSync(
      join(folder, "bare.jsonl"),
      rows(3, () => ({})),
    );
    writeFileSync(
      join(folder, "marked.jsonl"),
      rows(3, () => ({ label: 1 })),
    );
    for (const [name, seed] of [
      ["one", 1],
      ["two", 2],
      ["student", 3],
    ] as const)
      await run("train", `--init net.json --data 1.jsonl --steps 1 --save-every 0 --seed ${seed} -o ${name}/`);
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  test("writes a student and an aggregator, with which batches are answered; their labels are not looked at", async () => {
    const line = `--method meta-dmoe ${EXPERTS} --student student/ --data 1.jsonl --data two=2.jsonl ${QUICK}`;
    const made = await run("distill", `${line} --aggregator summed.safetensors -o ready/ --json`);
    expect([made.code, JSON.parse(made.text || "null")]).toEqual([
      0,
      expect.objectContaining({ method: "meta-dmoe", experts: 2, rows: 24, steps: 2, loss: expect.any(Number) }),
    ]);
    const stream = (rows: string, more: string, name: string) =>
      run(
        "adapt",
        `stream ready/ --data d=${rows} --batch-size 6 ${more} --predictions said-${name}.jsonl -o said-${name}/`,
      );
    const own = "--method meta-dmoe --meta-aggregator summed.safetensors --meta-experts one/ --meta-experts two/";
    const answers = await Promise.all([
      stream("bare.jsonl", own, "bare"),
      stream("marked.jsonl", own, "marked"),
      stream("bare.jsonl", `${own} --meta-lr 0`, "still"),
      stream("bare.jsonl", "--method source", "source"),
    ]);
    expect(answers.map(({ code, err }) => [code, err.includes("hint")])).toEqual(Array(4).fill([0, false]));
    const scores = (name: string) =>
      readFileSync(join(folder, `said-${name}.jsonl`), "utf8")
        .trimEnd()
        .split("\n")
        .map((each) => (JSON.parse(each) as { scores: number[] }).scores);
    expect(scores("marked")).toEqual(scores("bare"));
    expect(scores("bare")).not.toEqual(scores("still"));
    const apart = scores("still").flatMap((row, i) => row.map((z, c) => Math.abs(z - scores("source")[i]![c]!)));
    expect(Math.max(...apart)).toBeLessThan(1e-5);
  });

  test.each([
    ["--teacher one/ --student student/ --data 1.jsonl --aggregator a.safetensors", "needs several experts, got 1"],
    [`${EXPERTS} --data 1.jsonl --aggregator a.safetensors`, "there is no student"],
    [`${EXPERTS} --student student/ --data 1.jsonl --aggregator a.safetensors`, "2 experts have 1 groups of rows"],
    [`${EXPERTS} --student student/ --data 1.jsonl --data b=2.jsonl`, "there is no file for the aggregator"],
    [
      `${EXPERTS} --student student/ --data 1.jsonl --data b=2.jsonl --aggregator a.safetensors --heads 3`,
      "--heads 3 does not divide the 4 numbers",
    ],
  ])("refuses %s", async (line, message) => {
    const { code, err } = await run("distill", `--method=meta_dmoe ${line} -o refused/`);
    expect([code, err]).toEqual([2, expect.stringContaining(message)]);
  });
});
