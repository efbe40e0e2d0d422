/** Boxes of embeddings and what becomes of them: weights, logits, and weights that serve every task. */
import { afterAll, expect, setDefaultTimeout, test } from "bun:test";
import type { HostTensor } from "../../../src/adapt/continual/contract.ts";
import { boundsOf, IntervalNetwork, intervalLogits } from "../../../src/adapt/continual/interval-network.ts";
import { stageObjective } from "../../../src/adapt/continual/objective.ts";
import { askRows } from "../../../src/adapt/continual/outputs.ts";
import { type StreamBatch, stageSource } from "../../../src/adapt/continual/source.ts";
import { method } from "../../../src/adapt/methods/continual/hyperinterval.ts";
import { bindDefaults } from "../../../src/method/bind.ts";
import { loadMethod } from "../../../src/method/registry.ts";
import { trainModel } from "../../../src/run/training/train-model.ts";
import type { Parameter } from "../../../src/tensor/parameter.ts";
import { dataOf, tensorsOf } from "../../support/checkpoint-values.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { checkOp, runOp } from "../../support/program.ts";
import { normals } from "../../support/random.ts";
import { NET, pairRows, StreamLab } from "./lab.ts";
import { streamFor } from "./streams.ts";

setDefaultTimeout(120_000); // the machine may be busy

const gpu = await sharedGpu();
const lab = new StreamLab();
afterAll(() => lab.close());

test("weights of points in a box of embeddings lie in the box of weights, on the GPU as in float64", async () => {
  const network = new IntervalNetwork(gpu, [3, 7, 5, 11], normals(1, 11), 4);
  for (const { bias } of network.layers.slice(0, 2)) bias.write(normals(2, bias.size, 0.3));
  const centre = Float64Array.of(0.2, -0.1, 0.4);
  const box = await network.onHost(gpu, centre, 0.3);
  expect(box.radius.every((r) => r > 0)).toBe(true);
  for (let i = 0; i < 50; i++) {
    const point = centre.map((c, j) => c + 0.3 * Math.sin(7 * i + 3 * j));
    const { middle } = await network.onHost(gpu, point, 0);
    for (const [k, w] of middle.entries())
      expect(Math.abs(w - box.middle[k]!)).toBeLessThanOrEqual(box.radius[k]! + 1e-9);
  }
  const { outputs } = await runOp(gpu, {
    inputs: {
      middle: { shape: [1, 3], data: Float32Array.from(centre) },
      radius: { shape: [1, 3], data: new Float32Array(3).fill(0.3) },
    },
    build: (rec, { middle, radius }) => boundsOf(rec, network.record(rec, { middle: middle!, radius: radius! })).low,
  });
  for (let k = 0; k < 11; k++) expect(outputs.y![k]!).toBeCloseTo(box.middle[k]! - box.radius[k]!, 5);
  network.free();
});

const SHAPES = [[4, 3], [4], [2, 4], [2]];
const COUNT = 4 * 3 + 4 + 2 * 4 + 2;

/** A network of these weights on one row, in f64. */
function logitsOf(x: ArrayLike<number>, w: ArrayLike<number>): number[] {
  const hidden = [0, 1, 2, 3].map((k) =>
    Math.max(0, w[12 + k]! + [0, 1, 2].reduce((s, j) => s + w[3 * k + j]! * x[j]!, 0)),
  );
  return [0, 1].map((k) => w[24 + k]! + hidden.reduce((s, h, j) => s + w[16 + 4 * k + j]! * h, 0));
}

/** Least logits of rows over a box of weights, bound by bound in f64. */
function leastLogits(x: Float64Array, middle: Float64Array, radius: Float64Array): Float64Array {
  const [low, high] = [middle.map((m, i) => m - radius[i]!), middle.map((m, i) => m + radius[i]!)];
  const [plus, minus] = [(v: number) => Math.max(0, v), (v: number) => Math.max(0, -v)];
  return Float64Array.from({ length: (x.length / 3) * 2 }, (_, i) => {
    const row = x.subarray(3 * Math.floor(i / 2), 3 * Math.floor(i / 2) + 3);
    const bound = (own: Float64Array, other: Float64Array) =>
      [0, 1, 2, 3].map((k) =>
        plus(
          own[12 + k]! +
            [0, 1, 2].reduce((s, j) => s + plus(row[j]!) * own[3 * k + j]! - minus(row[j]!) * other[3 * k + j]!, 0),
        ),
      );
    const [small, large] = [bound(low, high), bound(high, low)];
    const w = low.subarray(16 + 4 * (i % 2));
    return [0, 1, 2, 3].reduce((s, j) => s + plus(w[j]!) * small[j]! - minus(w[j]!) * large[j]!, low[24 + (i % 2)]!);
  });
}

test("logits of weights in a box lie within its bounds, whose gradient is their slope", async () => {
  const x = normals(3, 12);
  const inputs = {
    x: { shape: [4, 3], data: x },
    middle: { shape: [1, COUNT], data: normals(4, COUNT) },
    radius: { shape: [1, COUNT], data: normals(5, COUNT).map((r) => 0.2 * Math.abs(r)) },
  };
  const given = { forward: 1e-5, backward: 1e-3 };
  await checkOp(gpu, "interval logits", {
    inputs,
    build: (rec, { x, middle, radius }) =>
      intervalLogits(rec, x!, boundsOf(rec, { middle: middle!, radius: radius! }), SHAPES).low,
    reference: ({ x, middle, radius }) => leastLogits(x!, middle!, radius!),
    ...given,
  });
  const bounds = async (name: "low" | "high") => {
    const { outputs } = await runOp(gpu, {
      inputs,
      build: (rec, { x, middle, radius }) =>
        intervalLogits(rec, x!, boundsOf(rec, { middle: middle!, radius: radius! }), SHAPES)[name],
    });
    return outputs.y!;
  };
  const [low, high] = [await bounds("low"), await bounds("high")];
  for (let draw = 0; draw < 50; draw++) {
    const w = inputs.middle.data.map((m, i) => m + inputs.radius.data[i]! * Math.sin(5 * draw + i));
    for (let row = 0; row < 4; row++)
      for (const [k, z] of logitsOf(x.subarray(3 * row, 3 * row + 3), w).entries()) {
        expect(z).toBeGreaterThan(low[2 * row + k]! - 1e-4);
        expect(z).toBeLessThan(high[2 * row + k]! + 1e-4);
      }
  }
});

const VALUES = { embedding_size: 8, hypernetwork_sizes: [24], gamma: 1, beta: 1, kappa: 0.5, kappa_decay: 0.01 };

/** Learns two tasks that ask different pairs of numbers; gives what the hypernetwork makes of them. */
async function learnt(values: typeof VALUES) {
  const made = await streamFor([60, 60], values);
  const { stream, stage } = made;
  const learner = await method.begin(stream);
  const kept = learner.kept!();
  const parameters = kept.filter((p): p is Parameter => !("values" in p));
  for (const index of [0, 1]) {
    const work = (await learner.stage!(stage(index)))!;
    work.planned!(120, 1);
    const source = stageSource({
      name: "t",
      rows: stream.rows,
      fresh: stream.rows.of([index]),
      order: { batchSize: 20, seed: 1 },
    });
    await trainModel<StreamBatch>({
      ...{ model: stream.model, source, objective: stageObjective({ model: stream.model, views: undefined }, work) },
      ...{ extra: work.extra!, controllers: work.controllers!, steps: 120, seed: 1, rate: () => 5e-3 },
      optimizer: bindDefaults(await loadMethod("optimizer", "adamw")),
      ...{ signal: new AbortController().signal },
    });
    await learner.learned!(stage(index));
  }
  return { ...made, learner, parameters, bounds: kept.find((k): k is HostTensor => "values" in k)! };
}

/** The share of a task's rows that weights have right. */
async function accuracyOf({ stream }: Awaited<ReturnType<typeof learnt>>, task: number, weights?: Float32Array) {
  const all = [...stream.model.parameters.values()];
  let at = 0;
  for (const parameter of weights ? all : []) {
    parameter.write(weights!.slice(at, at + parameter.size));
    at += parameter.size;
  }
  const refs = stream.rows.of([task]);
  const logits = await askRows(stream, refs, "logits");
  return logits.filter(([a, b], i) => Number(b! > a!) === stream.rows.labelOf(refs[i]!)).length / refs.length;
}

test("weights where boxes meet are nearly as good as each task's own", async () => {
  const run = await learnt(VALUES);
  const universal = [await accuracyOf(run, 0), await accuracyOf(run, 1)];
  const count = run.bounds.shape[2]!;
  const own = [];
  for (const task of [0, 1])
    own.push(await accuracyOf(run, task, run.bounds.values.slice((3 * task + 1) * count, (3 * task + 2) * count)));
  for (const task of [0, 1]) {
    expect(own[task]!).toBeGreaterThan(0.85);
    expect(universal[task]!).toBeGreaterThan(own[task]! - 0.1);
  }
  run.learner.free!();
});

test("with gamma 0 boxes are points, and each task keeps its own network", async () => {
  const run = await learnt({ ...VALUES, gamma: 0 });
  const count = run.bounds.shape[2]!;
  const at = (task: number, bound: number) =>
    run.bounds.values.slice((3 * task + bound) * count, (3 * task + bound + 1) * count);
  for (const task of [0, 1]) {
    expect(at(task, 0)).toEqual(at(task, 1));
    expect(at(task, 2)).toEqual(at(task, 1));
    expect(await accuracyOf(run, task, at(task, 1))).toBeGreaterThan(0.9);
  }
  run.learner.free!();
});

test("the result is a plain network, and a run goes on bit for bit in the middle of a task", async () => {
  lab.json("net.json", NET);
  for (const [task, name] of ["a", "b"].entries()) lab.write(`${name}.jsonl`, pairRows(task, 24));
  const line = `--init @net.json --tasks @a.jsonl,@b.jsonl --method hyperinterval --hypernetwork-sizes 12 --batch-size 6
    --epochs 2 --save-every 3`;
  await lab.run(`${line} -o @whole`);
  await lab.run(`${line} -o @cut --resume`, { task: "b", step: 4 });
  await lab.run(`${line} -o @cut --resume`);
  const bytes = (name: string) => dataOf(lab.bytes(`${name}/model.safetensors`));
  expect(bytes("cut")).toEqual(bytes("whole"));
  const names = [...(await tensorsOf(lab.at("whole"))).keys()];
  expect(names).toEqual(["layers.0.weight", "layers.0.bias", "classifier.weight", "classifier.bias"]);
});

test("says which models it makes no weights for", async () => {
  lab.json("normed.json", { ...NET, hidden_norm: "batch" });
  const line = "--init @normed.json --tasks @a.jsonl --method hyperinterval -o @no";
  await expect(lab.run(line)).rejects.toThrow("linear layers and ReLU");
});
