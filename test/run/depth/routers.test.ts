/**
 * Routers of layers: what they read, how the dial turns their choice, how they are fitted, and what a model says by
 * them.
 */
import { afterAll, describe, expect, test } from "bun:test";
import { collate } from "../../../src/data/batch.ts";
import { drawnWay } from "../../../src/evaluate/commands/routers.ts";
import { Model } from "../../../src/model/model.ts";
import { WayScorer } from "../../../src/run/depth/asked-rows.ts";
import { PromptRouter } from "../../../src/run/depth/route-prompts.ts";
import { dialled, likeliest, promptLength, Routers, routerShapes, windowsOf } from "../../../src/run/depth/routers.ts";
import { Decoder } from "../../../src/run/generating/decoder.ts";
import { Generator } from "../../../src/run/generating/generate.ts";
import { RoutedDecoder } from "../../../src/run/generating/routed-decoder.ts";
import { GREEDY } from "../../../src/run/generating/sampling.ts";
import { Program, profileOf } from "../../../src/tensor/program.ts";
import { Recorder } from "../../../src/tensor/recorder.ts";
import { keptRows } from "../../../src/train/commands/route-search.ts";
import { classWeights, fitObjective, fitRouters } from "../../../src/train/routers/fit.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { runOp } from "../../support/program.ts";
import { normals, randomWords } from "../../support/random.ts";
import { TINY_TEXT } from "../../support/tiny-models.ts";

const gpu = await sharedGpu();
const model = await Model.fresh(gpu, { ...TINY_TEXT.llama!, num_hidden_layers: 3 }, "m", {
  seed: 2,
  freeze: () => true,
});
afterAll(() => model.free());
const SIZES = { layers: 3, width: 24, hidden: 6 };
const words = randomWords(9);
const sequence = (prompt: number, answer: number, place: string) => {
  const ids = Int32Array.from({ length: prompt + answer }, () => words() % 50);
  return { ids, labels: ids.map((id, i) => (i < prompt ? -100 : id)), group: 0, place };
};

/** Routers that always choose so, by layer. */
const choosing = (times: readonly number[]): Routers =>
  Routers.of(
    gpu,
    SIZES,
    new Map(
      routerShapes(SIZES).map(([name, shape]) => {
        const values = new Float32Array(shape.reduce((a, b) => a * b, 1));
        const [layer, ...part] = name.split(".");
        if (part.join(".") === "out.bias") values[times[Number(layer)]!] = 5;
        return [name, values];
      }),
    ),
  );

describe("what a router reads", () => {
  test("8 windows of equal length, without what is left over", () => {
    const { most, places, means, shares } = windowsOf([19, 3], 24);
    expect(most).toBe(3);
    expect([...places.subarray(0, 7)]).toEqual([0, 1, -1, 2, 3, -1, 4]);
    expect([...means.subarray(0, 8)]).toEqual(Array(8).fill(0.5));
    expect([...shares.subarray(0, 8)]).toEqual(Array(8).fill(0.125));
    expect([...places.subarray(24, 34)]).toEqual([24, -1, -1, 25, -1, -1, 26, -1, -1, -1]);
    expect(Array.from(shares.subarray(8), (x) => Math.round(6 * x))).toEqual([2, 2, 2, 0, 0, 0, 0, 0]);
    expect([...means.subarray(8)]).toEqual([1, 1, 1, 0, 0, 0, 0, 0]);
  });

  test("a prompt ends before the first token that counts; a row without one is a prompt", () => {
    expect(promptLength(Int32Array.of(-100, -100, 4))).toBe(2);
    expect(promptLength(Int32Array.of(3, 4, 5))).toBe(3);
    expect(promptLength(Int32Array.of(-100, -100))).toBe(2);
  });
});

test("the dial goes from skipping over the routers' choice and running to repeating", async () => {
  const p = Float32Array.of(0.2, 0.3, 0.5, 0.6, 0.3, 0.1);
  const at = async (dial: number) => {
    const { outputs } = await runOp(gpu, {
      inputs: { p: { shape: [2, 3], data: p } },
      build: (rec, x) => {
        const moved = dialled(rec, x.p!, dial);
        return { moved, choice: likeliest(rec, moved) };
      },
      training: false,
    }).catch(() => ({ outputs: { moved: p, choice: new Float32Array(6) } }));
    return outputs;
  };
  const wanted: Record<string, number[]> = {
    "-1": [1, 0, 0],
    "-0.75": [0.6, 0.15, 0.25],
    "0": [0.1, 0.65, 0.25],
    "0.5": [0, 1, 0],
    "0.75": [0, 0.5, 0.5],
    "1": [0, 0, 1],
  };
  for (const [dial, row] of Object.entries(wanted)) {
    const { moved } = await at(Number(dial));
    for (const [i, value] of row.entries()) expect(moved![i]).toBeCloseTo(value, 6);
  }
  expect([...(await at(0.75)).choice!]).toEqual([0, 1, 0, 0, 1, 0]); // of equal ones running once
  expect([...(await at(-0.6)).choice!]).toEqual([0, 0, 1, 1, 0, 0]);
});

describe("a model by routers", () => {
  const prompts = [9, 4, 12].map((length, i) => [...sequence(length, 0, `${i}`).ids]);
  const generate = async (source: Decoder | RoutedDecoder) => {
    const generator = new Generator(source);
    const answers = await generator.complete(prompts, { ...GREEDY, maxTokens: 6, stop: [], batch: 3 });
    generator.free();
    return answers;
  };
  const routed = (routers: Routers, dial: number) => {
    const router = new PromptRouter(model, routers, dial);
    return new RoutedDecoder(model, "m", {
      route: (own) => router.route(own),
      free() {
        router.free();
        routers.free();
      },
    });
  };

  test("runs what they choose, each prompt for itself", async () => {
    const routers = choosing([0, 2, 1]);
    const router = new PromptRouter(model, routers, -0.5);
    expect(await router.route(prompts)).toEqual(Array(3).fill([0, 2, 1]));
    router.free();
    routers.free();
    const drawn = Routers.fresh(gpu, SIZES, 5);
    for (const parameter of drawn.parameters())
      if (parameter.name.endsWith("out.weight")) parameter.write(normals(3, parameter.size, 5));
    const own = new PromptRouter(model, drawn, -0.5);
    const together = await own.route(prompts);
    const alone = [];
    for (const prompt of prompts) alone.push(...(await own.route([prompt])));
    expect(together).toEqual(alone);
    expect(new Set(together.map(String)).size).toBeGreaterThan(1);
    expect(together.flat().every((count) => count === 0 || count === 1 || count === 2)).toBe(true);
    own.free();
    drawn.free();
  });

  test("answers as the base, bit for bit, where all layers run once", async () => {
    const names = ["0", "1", "2"];
    const decoder = new Decoder(model, "m");
    const plain = await decoder.read(prompts, { most: 32, names });
    const source = routed(choosing([1, 1, 1]), -0.5);
    expect(await source.read(prompts, { most: 32, names })).toEqual(plain);
    const longer = prompts.map((prompt) => [...prompt, 7]);
    const running = new Set([0, 1, 2]);
    expect(await source.next(longer, running)).toEqual(await decoder.next(longer, running));
    expect(source.notes(1)).toEqual({ layers: [1, 1, 1] });
    source.free();
    expect(await generate(routed(choosing([0, 0, 0]), 0.5))).toEqual(await generate(decoder));
  });

  test("prompts of different ways are continued side by side as they are alone", async () => {
    const ways = [
      [1, 0, 1],
      [1, 2, 1],
      [1, 0, 1],
    ];
    const by = (rows: readonly number[][]) => new RoutedDecoder(model, "m", { route: async () => rows, free() {} });
    const together = await generate(by(ways));
    for (const [i, prompt] of prompts.entries()) {
      const generator = new Generator(by([ways[i]!]));
      const [alone] = await generator.complete([prompt], { ...GREEDY, maxTokens: 6, stop: [], batch: 1 });
      expect(together[i]).toEqual(alone!);
      generator.free();
    }
  });
});

describe("fitting", () => {
  const rows = [
    { sequence: sequence(9, 2, "a"), times: [1, 0, 2] },
    { sequence: sequence(5, 3, "b"), times: [1, 1, 1] },
  ];

  test("choices that are common count less, and those that no row has nothing", () => {
    const weights = classWeights([[1, 1, 1, 0]], 0.9);
    const raw = [0.1 / (1 - 0.9), 0.1 / (1 - 0.9 ** 3)];
    expect(weights[2]).toBe(0);
    expect(weights[0]! / weights[1]!).toBeCloseTo(raw[0]! / raw[1]!, 9);
    expect(weights.reduce((a, b) => a + b, 0)).toBeCloseTo(3, 9);
  });

  test("the loss is focal, along the ways that are given; the model takes no gradient", async () => {
    const routers = choosing([1, 1, 1]);
    const weights = [2, 0.5, 0.5];
    const objective = fitObjective(model, routers, { weights, gamma: 2 });
    const batch = collate(rows.map(({ sequence: own }) => [own]));
    const own = { batch, times: rows.map(({ times }) => times) };
    const rec = new Recorder(profileOf(gpu));
    const { backward, metrics } = objective.record(rec, own, "");
    rec.output("loss", metrics.loss!);
    rec.backward(backward);
    expect([...rec.reached()].every((parameter) => routers.parameters().includes(parameter))).toBe(true);
    const program = await Program.compile(gpu, rec);
    objective.fill(program, own, 2, "");
    program.run({ step: 1, accumulate: 0, seed: 0 });
    const z = [0, 5, 0].map(Math.exp);
    const p = z.map((value) => value / (z[0]! + z[1]! + z[2]!));
    const wanted = rows.flatMap(({ times }) => times.map((y) => -weights[y]! * (1 - p[y]!) ** 2 * Math.log(p[y]!)));
    expect((await program.read("loss"))[0]).toBeCloseTo(wanted.reduce((a, b) => a + b, 0) / 6, 4);
    program.free();
    routers.free();
  });

  test("routers learn ways of prompts that differ", async () => {
    const options = { ...{ hidden: 16, epochs: 40, batch: 2, accumulate: 1, lr: 0.02, warmUp: 0, decay: 0 } };
    const { routers, loss } = await fitRouters(model, rows, {
      ...options,
      ...{ gamma: 2, beta: 0.9, seed: 1, signal: new AbortController().signal, pad: 0 },
    });
    const router = new PromptRouter(model, routers, -0.5);
    const prompts = rows.map(({ sequence: { ids, labels } }) => [...ids.subarray(0, promptLength(labels))]);
    expect(await router.route(prompts)).toEqual([
      [1, 0, 2],
      [1, 1, 1],
    ]);
    expect(loss).toBeLessThan(0.05);
    router.free();
    routers.free();
  });
});

test("a way's answer is right where each token is the likeliest one", async () => {
  const scorer = new WayScorer(model, 0);
  const row = sequence(6, 3, "a");
  const generator = new Generator(new RoutedDecoder(model, "m", { route: async () => [[2, 0, 1]], free() {} }));
  const [answer] = await generator.complete([[...row.ids.subarray(0, 6)]], {
    ...GREEDY,
    ...{ maxTokens: 3, stop: [], batch: 1 },
  });
  generator.free();
  const ids = Int32Array.from([...row.ids.subarray(0, 6), ...answer!]);
  const right = { ...row, ids, labels: ids.map((id, i) => (i < 6 ? -100 : id)) };
  const [own, other] = await scorer.score(
    [right, { ...right, labels: right.labels.map((id, i) => (i === 8 ? (id + 1) % 50 : id)) }],
    [
      [2, 0, 1],
      [2, 0, 1],
    ],
  );
  expect([own!.isRight, other!.isRight]).toEqual([true, false]);
  expect(other!.loss).toBeGreaterThan(own!.loss);
  await scorer.free();
});

test("layers by chance are as many, each once before one runs again", () => {
  let state = 0;
  const unit = () => (state = (state + 0.37) % 1);
  for (const budget of [0, 2, 3, 5, 6]) {
    const way = drawnWay(budget, 3, unit);
    expect(way.reduce((a, b) => a + b, 0)).toBe(budget);
    expect(Math.max(...way) - Math.min(...way)).toBeLessThanOrEqual(1);
  }
});

test("of rows that were right so many stay that those which were mended are a share", () => {
  const found = Array.from({ length: 20 }, (_, row) => ({
    ...{ times: row === 19 ? undefined : [1], isRight: row >= 3, tried: 1 },
  }));
  expect(keptRows(found, 0.3, 1).length).toBe(3 + 7);
  expect(keptRows(found, 0.3, 1).slice(0, 3)).toEqual([0, 1, 2]);
  expect(keptRows(found, 0, 1).length).toBe(19);
});
