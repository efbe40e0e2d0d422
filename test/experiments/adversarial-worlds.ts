/** An accurate classifier and one that was trained against an adversary, and their mixtures under attack. */
import { stackExamples } from "../../src/data/batch.ts";
import type { Split } from "../../src/data/task.ts";
import { method as glyphs } from "../../src/data/tasks/glyphs.ts";
import type { Gpu } from "../../src/gpu/gpu.ts";
import { bindDefaults } from "../../src/method/bind.ts";
import { Model } from "../../src/model/model.ts";
import { adversarialBatches } from "../../src/run/adversarial/adversarial-batches.ts";
import { Adversary, type Attack, type RecordLogits } from "../../src/run/adversarial/adversary.ts";
import { Gate, gateFeatures } from "../../src/run/mixing/gate.ts";
import { type Gated, recordGated } from "../../src/run/mixing/gated-outputs.ts";
import { trainGate } from "../../src/run/mixing/train-gate.ts";
import { Programs } from "../../src/run/programs.ts";
import { recordOutputs } from "../../src/run/scoring/recorded-outputs.ts";
import { numberBatches } from "../../src/run/training/batch-source.ts";
import { crossEntropyObjective } from "../../src/run/training/cross-entropy.ts";
import { trainModel } from "../../src/run/training/train-model.ts";
import { method as optimizer } from "../../src/train/methods/optimizers/adamw.ts";
import { copyOf, taskPoints } from "./distill-support.ts";

const SIDE = 9;
const CLASSES = 10;
const HIDDEN = 32;
const RANGE = [0, 1] as const;
/** Radius of the certificates' ball (l2). */
const RADIUS = 0.15;
const SHARPNESS = { accurate: 2, robust: 1 };
const signal = new AbortController().signal;

const JSON_OF = { model_type: "mlp", input_size: SIDE * SIDE, hidden_sizes: [HIDDEN], num_labels: CLASSES };

function digits(seed: number, count: number, split: Split) {
  const points = taskPoints(glyphs as never, seed, count, { canvas: SIDE, shift: 1, noise: 0.2 }, split);
  return points.map((point, i) => ({ ...point, group: 0, place: `${split} ${i}` }));
}

const BOX: Attack = { norm: "linf", epsilon: 0.12, steps: 7, stepSize: 0.03, randomStart: true, range: RANGE, seed: 0 };
const HARD: Attack = { ...BOX, steps: 20, stepSize: 0.015, seed: 1 };

type Points = ReturnType<typeof digits>;

async function taught(model: Model, points: Points, seed: number, attack?: Attack): Promise<void> {
  const source = numberBatches(points, 64, seed);
  const adversary = attack && new Adversary(model.gpu, alone(model), attack);
  const steps = 500;
  await trainModel({
    model,
    source: adversary ? adversarialBatches(source, adversary) : source,
    objective: crossEntropyObjective(model),
    optimizer: bindDefaults(optimizer, { weight_decay: 0 }),
    rate: (step) => 0.005 * (1 + Math.cos((Math.PI * (step - 1)) / steps)),
    steps,
    seed,
    signal,
    name: "digits",
    advice: "lower the rate",
  });
  adversary?.free();
}

const alone =
  (model: Model): RecordLogits =>
  (rec, inputs) =>
    recordOutputs(rec, inputs, model, undefined)(0);
const mixed =
  (accurate: Model, robust: Model, weight: number): RecordLogits =>
  (rec, inputs) => {
    const kind = "probabilities" as const;
    return recordOutputs(rec, inputs, accurate, { model: robust, kind, weight, sharpness: SHARPNESS.accurate })(0);
  };
const gated =
  (models: Gated): RecordLogits =>
  (rec, inputs) =>
    recordGated(rec, inputs, models).logits;

/** Which rows are answered right, as they are and at the end of an attack; and the logits of rows as they are. */
async function judged(gpu: Gpu, logits: RecordLogits, points: Points, attack: Attack = HARD) {
  const batch = stackExamples(points);
  const adversary = new Adversary(gpu, logits, attack);
  const moved = await adversary.move(
    batch,
    points.map(({ place }) => place),
  );
  adversary.free();
  const programs = new Programs(gpu);
  const { program } = await programs.get("", (rec) => {
    const found = logits(rec, { batch: batch.rows, x: rec.input("x", [batch.rows, ...batch.shape]) });
    rec.output("logits", found);
  });
  const read = async (x: Float32Array) => {
    program.write("x", x);
    program.run();
    return program.read("logits");
  };
  const [clean, attacked] = [await read(batch.x), await read(moved.x)];
  programs.free();
  const right = (all: Float32Array) =>
    points.map(({ label }, i) => {
      const row = all.subarray(i * CLASSES, (i + 1) * CLASSES);
      return row.every((z, k) => k === label || z < row[label]!);
    });
  return { clean: right(clean), attacked: right(attacked), logits: clean };
}

const share = (list: readonly boolean[]): number => list.filter(Boolean).length / list.length;
/** Accuracy as rows are, and under attack; a row that is wrong unmoved counts as wrong. */
type Scores = readonly [clean: number, attacked: number];
const scoresOf = ({ clean, attacked }: Pick<Awaited<ReturnType<typeof judged>>, "clean" | "attacked">): Scores => [
  share(clean),
  share(attacked.map((right, i) => right && clean[i]!)),
];

/** How far an attacked accuracy lies above the line from one end to the other at its clean accuracy. */
const aboveLine = ([c, n]: Scores, [g, h]: readonly [Scores, Scores]): number =>
  n - (g[1] + ((g[0] - c) / (g[0] - h[0])) * (h[1] - g[1]));

/** The largest singular value of a matrix (rows, columns), by power iteration. */
function spectralNorm(w: Float32Array, columns: number): number {
  let v = Float64Array.from({ length: columns }, (_, i) => Math.sin(i + 1));
  let norm = 0;
  for (let round = 0; round < 500; round++) {
    const u = new Float64Array(w.length / columns);
    for (const [i, x] of w.entries()) u[Math.floor(i / columns)]! += x * v[i % columns]!;
    const back = new Float64Array(columns);
    for (const [i, x] of w.entries()) back[i % columns]! += x * u[Math.floor(i / columns)]!;
    const length = Math.hypot(...back);
    norm = Math.sqrt(length / Math.hypot(...v));
    v = back.map((x) => x / length);
  }
  return norm;
}

/**
 * Rows whose class the robust model keeps by a margin of its probabilities above (1 - a) / a, wherever they are moved
 * within RADIUS: logits differ by at most the product of the layers' norms.
 */
async function certified(robust: Model, logits: Float32Array, points: Points, a: number): Promise<boolean[]> {
  const weights = async (name: string) => {
    const { buffer, size } = robust.parameters.get(name)!;
    return robust.gpu.readFloats(buffer, size);
  };
  const norm = spectralNorm(await weights("layers.0.weight"), SIDE * SIDE) * 1.0001;
  const head = await weights("classifier.weight");
  const row = (k: number) => head.subarray(k * HIDDEN, (k + 1) * HIDDEN);
  return points.map(({ label }, i) => {
    const z = logits.subarray(i * CLASSES, (i + 1) * CLASSES);
    const gaps = Array.from(z, (_, k) => {
      const apart = Math.hypot(...Array.from(row(label), (w, j) => w - row(k)[j]!));
      return z[label]! - z[k]! - RADIUS * norm * apart;
    }).filter((_, k) => k !== label);
    const p = 1 / (1 + gaps.reduce((sum, gap) => sum + Math.exp(-gap), 0));
    return p * (1 - Math.exp(-Math.min(...gaps))) > (1 - a) / a;
  });
}

/** Two models, mixtures of fixed weights, means of their weights, and a mixture with a gate. */
export async function underAttack(gpu: Gpu, seed: number) {
  const [train, test] = [digits(seed, 2000, "train"), digits(seed, 500, "test")];
  const accurate = await Model.fresh(gpu, JSON_OF, "accurate", { seed });
  await taught(accurate, train, seed);
  const robust = await Model.fresh(gpu, JSON_OF, "robust", { seed });
  await taught(robust, train, seed, BOX);
  const score = async (logits: RecordLogits) => scoresOf(await judged(gpu, logits, test));
  const ends = [await score(alone(accurate)), await score(alone(robust))] as const;
  const mixtures: Scores[] = [];
  const means: Scores[] = [];
  const middle = await copyOf(accurate);
  for (const a of [0.6, 0.7, 0.8, 0.9]) {
    mixtures.push(await score(mixed(accurate, robust, a)));
    for (const [name, { buffer, size }] of accurate.parameters) {
      const values = await gpu.readFloats(robust.parameters.get(name)!.buffer, size);
      middle.parameters
        .get(name)!
        .write((await gpu.readFloats(buffer, size)).map((x, i) => (1 - a) * x + a * values[i]!));
    }
    means.push(await score(alone(middle)));
  }
  const settings = { least: 0.815, span: 0.1, scale: 2, bias: 0, sharpness: SHARPNESS };
  const features = gateFeatures(accurate) + gateFeatures(robust);
  const gate = Gate.fresh(gpu, settings, { features, hidden: 64 }, seed);
  const models = { accurate, robust, gate };
  await trainGate(models, numberBatches(train, 64, seed), {
    attack: BOX,
    loss: { bce: 1, ce: 0.5, product: 0.1 },
    cleanWeight: 2,
    lr: 1e-3,
    steps: 100,
    seed,
    signal,
    name: "gate",
  });
  const found = await score(gated(models));
  const { logits } = await judged(gpu, alone(robust), test, { ...HARD, epsilon: 0 });
  const safe = await certified(robust, logits, test, settings.least);
  const ball = await judged(gpu, gated(models), test, { ...HARD, norm: "l2", epsilon: RADIUS, stepSize: RADIUS / 8 });
  const broken = safe.filter((is, i) => is && !ball.attacked[i]).length;
  for (const held of [accurate, robust, middle, gate]) held.free();
  const most = (list: readonly Scores[]) => Math.max(...list.map((each) => aboveLine(each, ends)));
  return {
    "accurate, clean": ends[0][0],
    "accurate, attacked": ends[0][1],
    "robust, clean": ends[1][0],
    "robust, attacked": ends[1][1],
    "gated, clean": found[0],
    "gated, attacked": found[1],
    "mixed, above the line": most(mixtures),
    "weights, above the line": most(means),
    "gated, above the line": aboveLine(found, ends),
    "certified rows": share(safe),
    "certified rows that an attack breaks": broken,
  };
}
