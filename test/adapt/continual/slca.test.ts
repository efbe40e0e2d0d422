/** A slow backbone, and a head that learns again on Gaussians of features. */
import { afterAll, expect, setDefaultTimeout, test } from "bun:test";
import { type ClassGaussian, momentsOf, samplesOf } from "../../../src/adapt/continual/class-gaussians.ts";
import { drawEpoch, fitHead, shrinkOf } from "../../../src/adapt/continual/head-alignment.ts";
import { choleskyFactor } from "../../../src/tensor/linear-algebra/cholesky.ts";
import { Parameter } from "../../../src/tensor/parameter.ts";
import { tensorsOf } from "../../support/checkpoint-values.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { normals } from "../../support/random.ts";
import { TINY_ENCODERS } from "../../support/tiny-models.ts";
import { NET, pairRows, StreamLab } from "./lab.ts";

setDefaultTimeout(120_000); // the machine may be busy

const lab = new StreamLab();
afterAll(() => lab.close());

const NAMES = ["a", "b", "c"];
for (const [task, name] of NAMES.entries()) {
  lab.write(`${name}.jsonl`, pairRows(task, 40, { label: 2 * task }));
  lab.write(`${name}-held.jsonl`, pairRows(task, 40, { first: 40, label: 2 * task }));
}
lab.json("net.json", { ...NET, hidden_sizes: [24], num_labels: 6 });

const HELD = "--eval-tasks a=@a-held.jsonl,b=@b-held.jsonl,c=@c-held.jsonl";
const STREAM = `--init @net.json --tasks @a.jsonl,@b.jsonl,@c.jsonl ${HELD} --batch-size 10 --lr 0.02 --clip 0`;
const SLCA = `${STREAM} --method slca`;

const weights = (name: string) => tensorsOf(lab.at(name));

test("at the whole rate and without alignment it is sequential training by a task's own logits, to the bit", async () => {
  const seq = await lab.run(`${STREAM} --scenario task --epochs 2 -o @seq`);
  const slca = await lab.run(`${SLCA} --scenario task --epochs 2 --backbone-rate 1 --align-epochs 0 -o @same`);
  expect(await weights("same")).toEqual(await weights("seq"));
  expect(slca.json.metrics).toEqual(seq.json.metrics);
});

test("a backbone at rate 0 stays, and the head learns as if it were alone; at rate rho it goes rho of the way", async () => {
  const off = "--scenario task --align-epochs 0";
  await lab.run(`${SLCA} ${off} --epochs 2 --backbone-rate 0 -o @still`);
  await lab.run(`${STREAM} --scenario task --epochs 2 --train-only classifier* -o @head`);
  expect(await weights("still")).toEqual(await weights("head"));
  const step = "--steps 1 --optimizer sgd --tasks @a.jsonl --eval-tasks a=@a-held.jsonl";
  const one = SLCA.replace(/--tasks \S+ --eval-tasks \S+/, step);
  const found = [];
  for (const rho of [0, 1, 0.25]) {
    await lab.run(`${one} ${off} --backbone-rate ${rho} -o @rho-${rho}`);
    found.push(await weights(`rho-${rho}`));
  }
  const [at0, at1, at25] = found as [Map<string, Float32Array>, Map<string, Float32Array>, Map<string, Float32Array>];
  for (const [name, from] of at0) {
    const share = name.startsWith("classifier") ? 0 : 0.25;
    const [to, between] = [at1.get(name)!, at25.get(name)!];
    for (const [i, value] of from.entries()) expect(between[i]!).toBeCloseTo(value + share * (to[i]! - value), 6);
    if (share > 0) expect(to).not.toEqual(from);
  }
});

/** A Gaussian of class `label`, whose mean is `level` in each of four numbers. */
function gaussianOf(task: number, label: number, means: readonly number[]): ClassGaussian {
  const raw = [...normals(90 + label, 64)];
  const rows = Array.from({ length: 16 }, (_, row) => {
    return Float32Array.from(means, (mean, i) => mean + raw[4 * row + i]! + (i > 0 ? 0.7 * raw[4 * row + i - 1]! : 0));
  });
  const { mean, covariance } = momentsOf(rows, 4);
  return { task, label, mean: Float32Array.from(mean), factor: Float32Array.from(choleskyFactor(covariance, 4)!) };
}

test("moments are those of the rows, and samples converge to the shrunk mean and the covariance", () => {
  const two = momentsOf([Float32Array.of(1, 2), Float32Array.of(3, -2)], 2);
  expect([...two.mean]).toEqual([2, 0]);
  expect([...two.covariance]).toEqual([2 + 1e-4, -4, -4, 8 + 1e-4]);
  expect([...momentsOf([Float32Array.of(1, 2)], 2).covariance]).toEqual([1e-4, 0, 0, 1e-4]);

  const gaussian = gaussianOf(0, 0, [2, -1, 0.5, 3]);
  const { mean, factor } = gaussian;
  const errors = [500, 50_000].map((count) => {
    const samples = samplesOf(gaussian, { count, shrink: 0.95, seed: 3, name: "test" });
    const rows = Array.from({ length: count }, (_, i) => samples.subarray(4 * i, 4 * i + 4));
    const found = momentsOf(rows, 4);
    const offMean = Math.max(...found.mean.map((value, i) => Math.abs(value - 0.95 * mean[i]!)));
    const offCovariance = found.covariance.map((value, at) => {
      const [i, j] = [Math.floor(at / 4), at % 4];
      let sum = i === j ? 1e-4 : 0; // momentsOf adds its ridge again
      for (let k = 0; k < 4; k++) sum += factor[4 * i + k]! * factor[4 * j + k]!;
      return Math.abs(value - sum);
    });
    return { mean: offMean, covariance: Math.max(...offCovariance) };
  });
  expect(errors[1]!.mean).toBeLessThan(0.02);
  expect(errors[1]!.covariance).toBeLessThan(0.05);
  expect(errors[1]!.covariance).toBeLessThan(errors[0]!.covariance);
  expect(shrinkOf(2, 2)).toBe(1);
  expect(shrinkOf(0, 3)).toBeCloseTo(0.925, 12);
});

/** Cross-entropy of samples by a head (3, 4) with biases, of which class 2 is still to come, in float64. */
function lossOf(theta: Float64Array, samples: Float32Array, labels: Int32Array, tau: number): number {
  const rows = labels.length;
  let loss = 0;
  for (const [row, label] of labels.entries()) {
    const x = samples.subarray(4 * row, 4 * row + 4);
    const z = [0, 1, 3].map((k) => theta.subarray(4 * k, 4 * k + 4).reduce((s, w, i) => s + w * x[i]!, theta[16 + k]!));
    const norm = tau === 0 ? 1 : tau * ((Math.hypot(z[0]!, z[1]!) + Math.abs(z[2]!)) / 2);
    const scaled = z.map((value) => value / norm);
    const own = scaled[[0, 1, 3].indexOf(label)]!;
    loss += (Math.log(scaled.reduce((sum, value) => sum + Math.exp(value), 0)) - own) / rows;
  }
  return loss;
}

test.each([0, 0.5])("the head takes the step of plain arithmetic, temperature %p", async (temperature) => {
  const gpu = await sharedGpu();
  const [weight, bias] = [new Parameter(gpu, "classifier.weight", [4, 4]), new Parameter(gpu, "classifier.bias", [4])];
  const start = Float64Array.from(normals(7, 20), (value) => Math.fround(0.5 * value));
  weight.write(Float32Array.from(start.subarray(0, 16)));
  bias.write(Float32Array.from(start.subarray(16)));
  const gaussians = [gaussianOf(0, 0, [1, 0, 0, 0]), gaussianOf(0, 1, [0, 1, 0, 0]), gaussianOf(1, 3, [0, 0, 1, -1])];
  const { signal } = new AbortController();
  const options = { epochs: 1, samples: 20, lr: 0.1, temperature, seed: 5, task: 1 };
  const { samples, labels } = drawEpoch(gaussians, 0, options);
  const loss = await fitHead(gpu, { weight, bias }, gaussians, { ...options, signal });
  expect(loss).toBeCloseTo(lossOf(start, samples, labels, temperature), 5);
  const found = [...(await gpu.readFloats(weight.buffer, 16)), ...(await gpu.readFloats(bias.buffer, 4))];
  for (const [i, value] of start.entries()) {
    const [up, down] = [1e-5, -1e-5].map((off) => {
      const moved = start.slice();
      moved[i]! += off;
      return lossOf(moved, samples, labels, temperature);
    });
    expect(found[i]!).toBeCloseTo(value - 0.1 * ((up! - down!) / 2e-5 + 5e-4 * value), 5);
  }
});

test("on a backbone that was trained before, a slow one keeps more than a fast one, and alignment yet more", async () => {
  // Other rows under other classes: features that fit, and rows of the head that know nothing yet.
  const other = NAMES.flatMap((_, task) => pairRows(task, 40, { first: 200, label: 6 + 2 * task }));
  lab.write("other.jsonl", other);
  lab.json("wide.json", { ...NET, hidden_sizes: [24], num_labels: 12 });
  await lab.run("--init @wide.json --tasks @other.jsonl --epochs 10 --batch-size 10 --lr 0.02 -o @base");
  const line = SLCA.replace("--init @net.json", "@base").replace("--lr 0.02", "--lr 0.1");
  const run = `${line} --scenario class --epochs 12 --save-every 0`;
  const [fast, slow, aligned] = [
    await lab.run(`${run} --backbone-rate 1 --align-epochs 0 -o @fast`),
    await lab.run(`${run} --align-epochs 0 -o @slow`),
    await lab.run(`${run} -o @aligned`),
  ].map(({ json }) => json.metrics.accuracy.average as number);
  expect(slow!).toBeGreaterThan(fast! + 0.05);
  expect(aligned!).toBeGreaterThan(slow! + 0.05);
});

test("the reverse of the cross-entropy is 4 (1 - p), and the labels' own may be left out", async () => {
  const run = `${SLCA.replace(/--batch-size \d+/, "")} --scenario class --batch-size 1 --steps 3 --save-every 0`;
  const { events } = await lab.run(`${run} --reverse-weight 1 --align-epochs 0 -o @both`);
  const steps = events.filter(({ event }) => event === "step");
  expect(steps.length).toBe(9);
  for (const step of steps) {
    const [own, back] = [step.cross_entropy as number, step.reverse_loss as number];
    expect(back).toBeCloseTo(4 * (1 - Math.exp(-own)), 4);
    expect(step.loss as number).toBeCloseTo(own + back, 4);
  }
  const alone = await lab.run(`${run} --reverse-weight 0.5 --ce-weight 0 --align-epochs 0 -o @alone`);
  const [first] = alone.events.filter(({ event }) => event === "step");
  expect(first!.loss as number).toBeCloseTo(0.5 * (first!.reverse_loss as number), 5);
  const none = lab.run(`${run} --ce-weight 0 -o @none`).catch(String);
  expect(await none).toContain("neither --ce-weight nor --reverse-weight");
});

test("goes on bit for bit", async () => {
  const line = `${SLCA} --scenario class --epochs 2 --save-every 3`;
  const whole = await lab.run(`${line} -o @whole`);
  for (const [task, step] of [
    ["a", 5],
    ["b", 7],
    ["c", 2],
  ] as const)
    await lab.run(`${line} -o @cut --resume`, { task, step });
  const end = await lab.run(`${line} -o @cut --resume`);
  expect(end.json).toEqual(whole.json);
  expect(await weights("cut")).toEqual(await weights("whole"));
});

/** A small classifier of texts, and two tasks of two classes each. */
function texts(type: string): string {
  const sizes = { vocab_size: 300, max_position_embeddings: 64, num_labels: 4, pad_token_id: 0 };
  lab.json(`${type}.json`, { ...TINY_ENCODERS[type]!, ...sizes });
  for (const [task, name] of ["one", "two"].entries())
    lab.write(
      `${name}.jsonl`,
      Array.from({ length: 8 }, (_, i) => ({ text: i % 2 ? "ab" : "cd", label: 2 * task + (i % 2) })),
    );
  return `--tasks @one.jsonl,@two.jsonl --scenario class --save-every 0`;
}

test("texts: a head of one layer beside LoRA, and one of two layers is refused", async () => {
  const run = texts("bert");
  await lab.run(`--init @bert.json --tokenizer byte ${run} --steps 1 -o @bert`);
  const { json } = await lab.run(`@bert ${run} --steps 2 --method slca --adapter lora -o @bert-lora`);
  expect(json.parameters.trainable).toBeLessThan(json.parameters.total);
  texts("roberta");
  const two = await lab.run(`--init @roberta.json --tokenizer byte ${run} --method slca -o @no`).catch(String);
  expect(two).toContain("a head of one layer");
});

test("what it cannot align is refused", async () => {
  const told = (line: string) => lab.run(line).then(() => "", String);
  expect(await told(`${SLCA} --scenario class --train-only layers* -o @no`)).toContain("head");
  expect(await told(`${SLCA} --smoothing 0.1 -o @no`)).toContain("--smoothing");
});
