/** The neural process of mpts, and what the sampler makes of its predictions. */
import { expect, test } from "bun:test";
import { method as mpts } from "../../src/curriculum/methods/samplers/mpts.ts";
import {
  firstState,
  firstWeights,
  type Gaussian,
  NeuralProcess,
  recordDecoder,
  recordLoss,
  type Shape,
  weightShapes,
} from "../../src/curriculum/neural-process.ts";
import { worstShares } from "../../src/curriculum/worst-shares.ts";
import { Random } from "../../src/data/random.ts";
import { sharedGpu } from "../support/gpu.ts";
import { checkOp } from "../support/program.ts";
import { normals } from "../support/random.ts";
import { groupsOf, make } from "./world.ts";

const gpu = await sharedGpu();
const close = (values: readonly number[], digits = 9) => values.map((value) => expect.closeTo(value, digits));

test("shares of the worst: what keeping one of so many evenly drawn tasks gives", () => {
  expect(worstShares([1, 3, 2], 2)).toEqual(close([0, 2 / 3, 1 / 3]));
  expect(worstShares([1, 2, 3, 4], 2)).toEqual(close([0, 0, 0.5, 0.5]));
  expect(worstShares([5, 5, 5], 2)).toEqual(close([1 / 3, 1 / 3, 1 / 3]));
  expect(worstShares([1, 2, 3], 1)).toEqual(close([1 / 3, 1 / 3, 1 / 3]));
  expect(worstShares([1, 2, 2, 0], 8)).toEqual(close([0, 0.5, 0.5, 0]));

  // The same by drawing: 32 candidates of 4 groups, the 16 worst.
  const random = new Random(1, "candidates");
  const counts = [0, 0, 0, 0];
  const scores = [0.3, 0.9, 0.1, 0.5];
  for (let round = 0; round < 500; round++) {
    const candidates = Array.from({ length: 32 }, () => random.below(4)).sort((a, b) => scores[b]! - scores[a]!);
    for (const group of candidates.slice(0, 16)) counts[group]! += 1 / 8000;
  }
  expect(worstShares(scores, 2)).toEqual(counts.map((count) => expect.closeTo(count, 0.9)));
});

/** Values by name, as the reference sees them. */
type Values = Readonly<Record<string, ArrayLike<number>>>;

/** Rows of `x` through a layer, in float64. */
const layer = (w: Values, name: string, rows: readonly number[][], relu: boolean): number[][] =>
  rows.map((x) =>
    Array.from(w[`${name}.bias`]!, (bias, o) => {
      const sum = x.reduce((all, value, i) => all + w[name]![o * x.length + i]! * value, bias);
      return relu ? Math.max(0, sum) : sum;
    }),
  );

function decode(w: Values, { features, hidden }: Shape, z: readonly number[], x: readonly number[]): number {
  const both = Array.from({ length: hidden }, (_, o) => {
    const ofX = x.reduce((all, value, i) => all + w["decoder.x"]![o * features + i]! * value, 0);
    const ofZ = z.reduce((all, value, i) => all + w["decoder.z"]![o * z.length + i]! * value, 0);
    return Math.max(0, ofX + ofZ + w["decoder.0.bias"]![o]!);
  });
  const last = layer(w, "decoder.2", layer(w, "decoder.1", [both], true), true);
  return layer(w, "decoder.3", last, false)[0]![0]!;
}

/** The loss as the comment of neural-process.ts has it, and its posterior, in float64. */
function lossOf(
  w: Values,
  shape: Shape,
  known: readonly number[][],
  prior: Gaussian,
  noise: readonly number[][],
  beta: number,
) {
  const points = known.map((point) => [...point]);
  const each = layer(w, "encoder.2", layer(w, "encoder.1", layer(w, "encoder.0", points, true), true), false);
  const r = each[0]!.map((_, i) => each.reduce((sum, row) => sum + row[i]!, 0) / each.length);
  const [head] = layer(w, "head", [r], false) as [number[]];
  const mean = head.slice(0, shape.latent);
  const deviation = head.slice(shape.latent).map((s) => 0.1 + 0.9 / (1 + Math.exp(-s)));
  let loss = 0;
  for (const epsilon of noise) {
    const z = mean.map((m, i) => m + deviation[i]! * epsilon[i]!);
    for (const point of points) {
      const error = decode(w, shape, z, point.slice(0, -1)) - point.at(-1)!;
      loss += error ** 2 / points.length / noise.length;
    }
  }
  for (const [i, m] of mean.entries()) {
    const [s, m0, s0] = [deviation[i]!, prior.mean[i]!, prior.deviation[i]!];
    loss += beta * (Math.log(s0 / s) + (s * s + (m - m0) ** 2) / (2 * s0 * s0) - 0.5);
  }
  return { loss, mean, deviation };
}

const SHAPE: Shape = { tasks: 5, features: 2, hidden: 5, latent: 3 };
const f32 = (values: readonly number[]) => Float32Array.from(values);

/** Weights by name, biases moved away from 0. */
function weightsOf(shape: Shape, seed: number): Record<string, Float32Array> {
  const all = firstWeights(shape, new Random(seed, "np")).map((value, i) => value + 0.1 * Math.sin(i));
  let at = 0;
  return Object.fromEntries(
    Object.entries(weightShapes(shape)).map(([name, dims]) => {
      const size = dims.reduce((a, b) => a * b, 1);
      at += size;
      return [name, f32(all.slice(at - size, at))];
    }),
  );
}

const rowsOf = (values: ArrayLike<number>, width: number): number[][] =>
  Array.from({ length: values.length / width }, (_, i) => Array.from(values).slice(i * width, (i + 1) * width));

test("the loss of the neural process and its gradients agree with float64 and differences, with tasks that are unknown", async () => {
  const { tasks: k, features: f, latent: l } = SHAPE;
  const weights = weightsOf(SHAPE, 4);
  const x = normals(1, k * f, 1);
  const y = normals(2, k, 1);
  const isKnown = [true, true, false, true, false];
  const points = Float32Array.from(rowsOf(x, f).flatMap((row, i) => [...row, y[i]!]));
  const data = (values: Float32Array, shape: readonly number[], grad = false) => ({ shape, data: values, grad });
  await checkOp(gpu, "neural process", {
    inputs: {
      ...Object.fromEntries(
        Object.entries(weightShapes(SHAPE)).map(([name, shape]) => [name, data(weights[name]!, shape, true)]),
      ),
      x: data(x, [k, f]),
      y: data(y, [1, k]),
      points: data(points, [k, f + 1]),
      shares: data(f32(isKnown.map((is) => (is ? 1 / 3 : 0))), [k, 1]),
      noise: data(normals(3, 2 * l, 1), [2, l]),
      priorMean: data(f32([0.3, -0.2, 0.1]), [1, l]),
      priorDeviation: data(f32([0.5, 1.2, 0.8]), [1, l]),
    },
    build: (rec, given) => {
      const { x, y, points, shares, noise, priorMean, priorDeviation, ...w } = given;
      const inputs = { x: x!, y: y!, points: points!, shares: shares!, noise: noise! };
      return recordLoss(rec, w, { ...inputs, priorMean: priorMean!, priorDeviation: priorDeviation! }, 0.3).loss;
    },
    reference: (given) => {
      const known = rowsOf(given.points!, f + 1).filter((_, i) => isKnown[i]);
      const prior = { mean: [...given.priorMean!], deviation: [...given.priorDeviation!] };
      return Float64Array.of(lossOf(given, SHAPE, known, prior, rowsOf(given.noise!, l), 0.3).loss);
    },
    forward: 1e-5,
    backward: 1e-4,
  });
});

test("predictions are those of the decoder", async () => {
  const { tasks: k, features: f, latent: l } = SHAPE;
  const shapes = weightShapes(SHAPE);
  const weights = weightsOf(SHAPE, 5);
  const data = (values: Float32Array, shape: readonly number[]) => ({ shape, data: values, grad: false });
  await checkOp(gpu, "neural process, decoder", {
    inputs: {
      ...Object.fromEntries(
        Object.entries(shapes)
          .filter(([name]) => name.startsWith("decoder"))
          .map(([name, shape]) => [name, data(weights[name]!, shape)]),
      ),
      z: data(normals(6, 4 * l, 1), [4, l]),
      x: data(normals(7, k * f, 1), [k, f]),
    },
    build: (rec, { z, x, ...w }) => recordDecoder(rec, w, z!, x!),
    reference: ({ z, x, ...w }) =>
      Float64Array.from(rowsOf(z!, l).flatMap((sample) => rowsOf(x!, f).map((task) => decode(w, SHAPE, sample, task)))),
    forward: 1e-5,
  });
});

test("its divergence is 0 when prior and posterior are the same", () => {
  const w = weightsOf(SHAPE, 5);
  const known = [[1, 0, 2]];
  const start = { mean: [0, 0, 0], deviation: [1, 1, 1] };
  const silent = [[0, 0, 0]];
  const { loss: without, ...posterior } = lossOf(w, SHAPE, known, start, silent, 0);
  expect(lossOf(w, SHAPE, known, posterior, silent, 7).loss).toBeCloseTo(without, 12);
  expect(lossOf(w, SHAPE, known, start, silent, 7).loss).toBeGreaterThan(without);
});

test("a process that was written what another one gave learns on as that does, bit for bit", async () => {
  const tasks = [[-1, 0], [0, 1], [1, 0], [0.5, 0.5], [0.2, 0.1]]; // biome-ignore format: one row of tasks
  const options = { shape: SHAPE, tasks, beta: 1e-3, fitSamples: 2, samples: 3, lr: 0.01 };
  const values = [1, 2, Number.NaN, 0.5, 3];
  const noise = (step: number) => [...normals(20 + step, 2 * SHAPE.latent, 1)];
  const [first, second] = [await NeuralProcess.make(gpu, options), await NeuralProcess.make(gpu, options)];
  first.write(firstState(SHAPE, new Random(1, "np")));
  let prior: Gaussian = { mean: [0, 0, 0], deviation: [1, 1, 1] };
  for (let step = 0; step < 3; step++) prior = await first.fit(values, noise(step), prior);
  second.write(JSON.parse(JSON.stringify(await first.read())));
  const [one, other] = [await first.fit(values, noise(3), prior), await second.fit(values, noise(3), prior)];
  expect(other).toEqual(one);
  expect(await second.read()).toEqual(await first.read());
  expect((await first.read()).steps).toBe(4);
  const z = [...normals(9, 3 * SHAPE.latent, 1)];
  expect(await second.predict(z)).toEqual(await first.predict(z));
  first.free();
  second.free();
});

/** Trains a sampler on these losses of all groups; gives the shares of every segment. */
async function heard(values: Record<string, unknown>, training: readonly number[], updates: number, seed = 0) {
  const groups = groupsOf(Object.fromEntries(training.map((_, i) => [`g${i}`, 10])));
  const sampler = make(mpts, { groups, seed, values });
  const probs = [sampler.segment().probs];
  for (let update = 1; update <= updates; update++) {
    const drawn = sampler.segment().probs.map((p) => Math.round(80 * p));
    const known = training.map((loss, i) => (drawn[i]! > 0 ? loss : Number.NaN));
    await sampler.update({ step: 10 * update, training: known, drawn });
    probs.push(sampler.segment().probs);
  }
  const notes = sampler.notes!() as { predicted: number[]; uncertain: number[] };
  sampler.free!();
  return { probs, ...notes };
}

test("without weights the choice is uniform, and so it is while predictions are learned", async () => {
  const even = close([1 / 3, 1 / 3, 1 / 3]);
  const { probs } = await heard({ gamma0: 0, gamma1: 0, burn_in: 0 }, [1, 2, 3], 4);
  for (const shares of probs) expect(shares).toEqual(even);
  const { probs: early } = await heard({ burn_in: 4 }, [1, 2, 3], 4);
  for (const shares of early.slice(0, 4)) expect(shares).toEqual(even);
  expect(early[4]).not.toEqual(even);
});

test("with its defaults no group is starved, whatever the untrained process predicts", async () => {
  // Once the process decides at once, and once as by default.
  for (const given of [{ burn_in: 0, fits: 4 }, {}]) {
    const { probs } = await heard(given, [1, 1.2, 0.8], 5);
    for (const shares of probs) expect(Math.min(...shares)).toBeGreaterThan(0.03);
  }
});

/** Places of the values, the largest first. */
const order = (values: readonly number[]) => [...values.keys()].sort((a, b) => values[b]! - values[a]!);

test("gamma1 favours the groups whose predictions are uncertain, gamma0 those with large ones", async () => {
  const losses = [3, 1, 2, 1.5, 2.5];
  const told = { burn_in: 0, epsilon: 0, ratio: 2, fits: 3 };
  for (const seed of [0, 1]) {
    const uncertain = await heard({ ...told, gamma0: 0, gamma1: 1 }, losses, 3, seed);
    // Each of five groups gets two fifths until the shares sum to 1.
    const shares = (values: readonly number[]) => {
      const [first, second, third] = order(values);
      return close(values.map((_, i) => (i === first || i === second ? 0.4 : i === third ? 0.2 : 0)));
    };
    expect(uncertain.probs.at(-1)).toEqual(shares(uncertain.uncertain));
    const large = await heard({ ...told, gamma0: 1, gamma1: 0 }, losses, 3, seed);
    expect(large.probs.at(-1)).toEqual(shares(large.predicted));
    const both = await heard({ ...told, gamma0: 1, gamma1: 5 }, losses, 3, seed);
    expect(both.probs.at(-1)).toEqual(shares(both.predicted.map((risk, i) => risk + 5 * both.uncertain[i]!)));
  }
});

const rank = (values: readonly number[]) => values.map((value) => values.filter((other) => other < value).length);

/** Spearman's correlation of values without ties. */
function spearman(a: readonly number[], b: readonly number[]): number {
  const [x, y] = [rank(a), rank(b)];
  const n = a.length;
  return 1 - (6 * x.reduce((sum, value, i) => sum + (value - y[i]!) ** 2, 0)) / (n * (n * n - 1));
}

test("predictions come to rank the groups as their losses do, and the worst are drawn", async () => {
  const risk = Array.from({ length: 10 }, (_, i) => 0.5 + 3 * Math.exp(-((i - 6) ** 2) / 8) + 0.01 * i); // worst in the middle
  const { probs, predicted } = await heard({ learner_lr: 5e-3 }, risk, 40);
  expect(spearman(predicted, risk)).toBeGreaterThan(0.7);
  const worst = [4, 5, 6, 7, 8];
  const errors = worst.map((i) => Math.abs(predicted[i]! - risk[i]!));
  expect(errors.reduce((x, y) => x + y, 0) / 5).toBeLessThan(0.6);
  expect(probs.at(-1)).toEqual(close(risk.map((_, i) => (worst.includes(i) ? 0.19 : 0.01))));
}, 120_000);

test("features say which groups are alike, not their positions", async () => {
  const shares = async (features: number[], training: number[]) =>
    (await heard({ features, burn_in: 0, fits: 3 }, training, 3)).probs.at(-1)!;
  const [a, b, c] = await shares([1, 5, 2], [1, 2, 3]);
  expect(await shares([5, 2, 1], [2, 3, 1])).toEqual(close([b!, c!, a!]));
  expect(() => make(mpts, { values: { features: [1] } })).toThrow("--features has 1 values but there are 3 groups");
});

test("several features of each group: those with the same are predicted alike", async () => {
  const features = [1, 5, 9, 2, 1, 5]; // two of each of three groups: the first and the last are alike
  const { predicted } = await heard({ features, burn_in: 0, fits: 3 }, [1, 3, 1], 3);
  expect(predicted[0]).toBeCloseTo(predicted[2]!, 5);
  expect(Math.abs(predicted[0]! - predicted[1]!)).toBeGreaterThan(1e-3);
  expect(() => make(mpts, { values: { features: [1, 2, 3, 4] } })).toThrow("--features has 4 values but there are 3");
});
