/** Batch normalization: statistics of weighted rows, what follows them, and gradients by differences. */
import { expect, test } from "bun:test";
import {
  equalWeights,
  followStatistics,
  nextMomentum,
  normalized,
  statisticsGap,
  statisticsOf,
  taskWeights,
} from "../../../src/tensor/ops/batch-norm.ts";
import { Parameter } from "../../../src/tensor/parameter.ts";
import { Program, profileOf } from "../../../src/tensor/program.ts";
import { Recorder } from "../../../src/tensor/recorder.ts";
import { covers } from "../../support/covers.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { checkOp, runOp } from "../../support/program.ts";
import { normals } from "../../support/random.ts";

covers("norm/follow", "norm/next-momentum");

const gpu = await sharedGpu();

/** Means and variances of columns of x (n, c) with weights of rows. */
function statistics(x: Float64Array, weights: Float64Array, c: number) {
  const mean = new Float64Array(c);
  const variance = new Float64Array(c);
  for (const [i, value] of x.entries()) mean[i % c]! += weights[Math.floor(i / c)]! * value;
  for (const [i, value] of x.entries()) variance[i % c]! += weights[Math.floor(i / c)]! * (value - mean[i % c]!) ** 2;
  return { mean, variance };
}

/** Weights of rows by their tasks, as the card has them. */
function weightsOf(tasks: Float64Array, psi: Float64Array): Float64Array {
  const t = psi.length;
  const n = tasks.length / t;
  const counts = Float64Array.from(psi, (_, j) => tasks.filter((_, i) => i % t === j).reduce((a, b) => a + b));
  const c = counts.map((count, j) => (count === 0 ? 0 : Math.exp(psi[j]!) + count));
  const total = c.reduce((a, b) => a + b);
  return Float64Array.from({ length: n }, (_, i) => {
    const task = tasks.subarray(i * t, (i + 1) * t).indexOf(1);
    return c[task]! / total / counts[task]!;
  });
}

const tasksOf = (of: readonly number[], count: number) =>
  Float32Array.from(of.flatMap((task) => Array.from({ length: count }, (_, j) => (j === task ? 1 : 0))));

test.each([
  [[0, 0, 1, 0, 2, 0, 1], 3],
  [[0, 0, 1, 1, 0, 0], 4],
  [[2, 2, 2], 3],
] as [number[], number][])("rows of tasks %p of %p are normalized by weights that psi moves", async (of, count) => {
  const [n, c] = [of.length, 5];
  const tasks = tasksOf(of, count);
  await checkOp(gpu, "batch norm", {
    inputs: {
      x: { shape: [n, c], data: normals(1, n * c, 1, 0.5) },
      psi: { shape: [count], data: normals(2, count, 0.7) },
      gain: { shape: [c], data: normals(3, c, 0.3, 1) },
      bias: { shape: [c], data: normals(4, c) },
    },
    build: (rec, { x, psi, gain, bias }) => {
      const weights = taskWeights(rec, rec.constant(tasks, [n, count], "tasks"), psi!);
      return normalized(rec, x!, statisticsOf(rec, x!, weights), { gain: gain!, bias: bias!, eps: 1e-5 });
    },
    reference: ({ x, psi, gain, bias }) => {
      const { mean, variance } = statistics(x!, weightsOf(Float64Array.from(tasks), psi!), c);
      return x!.map((value, i) => {
        const column = i % c;
        return ((value - mean[column]!) / Math.sqrt(variance[column]! + 1e-5)) * gain![column]! + bias![column]!;
      });
    },
    forward: 1e-5,
    backward: 1e-4,
  });
});

test.each([[[1, 1, 1, 1]], [[0, 2, 2, 0]]] as [number[]][])("with psi 0 rows of tasks %p weigh alike", async (of) => {
  const { outputs } = await runOp(gpu, {
    inputs: { psi: { shape: [3], data: new Float32Array(3) } },
    build: (rec, { psi }) => taskWeights(rec, rec.constant(tasksOf(of, 3), [4, 3], "tasks"), psi!),
  });
  for (const weight of outputs.y!.subarray(0, 4)) expect(weight).toBeCloseTo(0.25, 6);
});

test("the distance to running statistics, with its gradient", async () => {
  const [n, c] = [6, 3];
  const [mean, variance] = [normals(5, c), normals(6, c, 0.2, 1)];
  await checkOp(gpu, "distance of statistics", {
    inputs: { x: { shape: [n, c], data: normals(7, n * c) } },
    build: (rec, { x }) => {
      const running = {
        mean: rec.constant(mean, [1, c], "mean"),
        variance: rec.constant(variance, [1, c], "variance"),
      };
      return statisticsGap(rec, statisticsOf(rec, x!, equalWeights(rec, n)), running);
    },
    reference: ({ x }) => {
      const own = statistics(x!, new Float64Array(n).fill(1 / n), c);
      const gap = own.mean.reduce((sum, m, j) => sum + (m - mean[j]!) ** 2 + (own.variance[j]! - variance[j]!) ** 2, 0);
      return Float64Array.of(gap / c);
    },
    forward: 1e-5,
    backward: 1e-4,
  });
});

test.each([1, 0, 0.4])("running statistics follow with a momentum of kappa %p, run after run", async (kappa) => {
  const [n, c, eta] = [4, 2, 0.1];
  const parameters = ["momentum", "mean", "variance"].map(
    (name, i) => new Parameter(gpu, name, [i === 0 ? 1 : c], "f32", false),
  );
  const [momentum, mean, variance] = parameters as [Parameter, Parameter, Parameter];
  momentum.write(Float32Array.of(0));
  mean.write(new Float32Array(c));
  variance.write(new Float32Array(c).fill(1));
  const rec = new Recorder(profileOf(gpu));
  const x = rec.input("x", [n, c]);
  const own = statisticsOf(rec, x, equalWeights(rec, n));
  nextMomentum(rec, rec.parameter(momentum), { eta, kappa });
  followStatistics(
    rec,
    own,
    { mean: rec.parameter(mean), variance: rec.parameter(variance) },
    {
      momentum: rec.parameter(momentum),
      rows: n,
    },
  );
  const program = await Program.compile(gpu, rec);
  let [m, runningMean, runningVariance] = [0, [0, 0], [1, 1]];
  for (let batch = 0; batch < 3; batch++) {
    const values = normals(10 + batch, n * c, 1, batch);
    program.write("x", values);
    program.run();
    m = batch === 0 ? eta ** kappa : m / (m + (1 - eta) ** kappa);
    if (kappa === 1) expect(m).toBeCloseTo(eta, 12);
    if (kappa === 0) expect(m).toBeCloseTo(1 / (batch + 1), 12);
    const now = statistics(Float64Array.from(values), new Float64Array(n).fill(1 / n), c);
    runningMean = runningMean.map((value, j) => value + m * (now.mean[j]! - value));
    runningVariance = runningVariance.map((value, j) => value + m * ((now.variance[j]! * n) / (n - 1) - value));
  }
  const close = async (parameter: Parameter, expected: readonly number[]) => {
    const found = await gpu.readFloats(parameter.buffer, parameter.size);
    for (const [j, value] of expected.entries()) expect(found[j]!).toBeCloseTo(value, 5);
  };
  await close(momentum, [m]);
  await close(mean, runningMean);
  await close(variance, runningVariance);
  program.free();
  for (const parameter of parameters) parameter.free();
});
