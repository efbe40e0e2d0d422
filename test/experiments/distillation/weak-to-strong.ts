/** A strong student of a weak teacher under an objective that conflicts with what it is taught. */
import { stackExamples } from "../../../src/data/batch.ts";
import { Random } from "../../../src/data/random.ts";
import type { DistillMethod } from "../../../src/distill/contract.ts";
import { method as kd } from "../../../src/distill/methods/kd.ts";
import { method as logconf } from "../../../src/distill/methods/logconf.ts";
import { method as product } from "../../../src/distill/methods/product.ts";
import { deceptionOf } from "../../../src/evaluate/deception.ts";
import { Model } from "../../../src/model/model.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { type Beliefs, beliefs, learn, type Point, pointsOf } from "../distill-support.ts";
import { experimentOf } from "../experiment.ts";

const INPUTS = 8;

/** Points with two attributes: whether an answer is harmless, in part a product, and whether it is helpful. */
function world(seed: number, count: number, part: string) {
  const random = new Random(seed, "weak to strong", part);
  return Array.from({ length: count }, () => {
    const x = Float32Array.from({ length: INPUTS }, () => random.normal());
    return { x, harmless: x[0]! + 1.5 * x[1]! * x[2]! > 0 ? 1 : 0, helpful: x[3]! - x[0]! > 0 ? 1 : 0 };
  });
}

const labelled = (
  points: ReturnType<typeof world>,
  label: (point: ReturnType<typeof world>[number], i: number) => number,
): Point[] => points.map((point, i) => ({ x: point.x, shape: [INPUTS], label: label(point, i) }));

const guess = (row: Float64Array): number => (row[1]! > row[0]! ? 1 : 0);
const rights = ({ p, targets }: Beliefs): boolean[] => p.map((row, i) => guess(row) === targets[i]);
const share = (list: readonly boolean[]): number => list.filter(Boolean).length / list.length;

async function ladder(seed: number) {
  const gpu = await sharedGpu();
  const [first, second, last] = [world(seed, 800, "truth"), world(seed, 1600, "weak"), world(seed, 2000, "test")];
  const truth = (point: { readonly harmless: number }) => point.harmless;
  const test = stackExamples(labelled(last, truth));
  const net = (width: number, from: number) =>
    Model.fresh(gpu, { model_type: "mlp", input_size: INPUTS, hidden_sizes: [width], num_labels: 2 }, "net", {
      seed: from,
    });
  /** What a strong model knows before: the product, without which it could not be better than its teacher. */
  const begun = async (width: number, from: number) => {
    const model = await net(width, from);
    if (width === 2) return model;
    const rows = labelled(world(seed, 1600, "before"), ({ x }) => (x[1]! * x[2]! > 0 ? 1 : 0));
    await learn(model, { method: kd as never, data: pointsOf(rows, 64, seed), steps: 300, lr: 0.02, seed });
    return model;
  };
  const schooled = async (width: number) => {
    const model = await begun(width, seed + width);
    await learn(model, {
      method: kd as never,
      data: pointsOf(labelled(first, truth), 64, seed),
      steps: 300,
      lr: 0.02,
      seed,
    });
    return model;
  };
  /** A student of what a teacher says of the second part; with a conflict half of the rows say what is helpful too. */
  const taught = async (width: number, teacher: Model, conflict: number, method: DistillMethod = kd as never) => {
    const own = await beliefs(teacher, stackExamples(labelled(second, truth)));
    const rows = labelled(second, (point, i) => (i % 2 === 0 ? point.helpful : guess(own.p[i]!)));
    const model = await begun(width, seed + width);
    await learn(model, {
      ...{ method, teachers: [teacher], weights: { distill: 1, labels: conflict } },
      ...{ data: pointsOf(rows, 64, seed), steps: 60, lr: 0.005, seed },
    });
    return model;
  };
  const weak = await schooled(2);
  const knows = async (model: Model) => rights(await beliefs(model, test));
  const known = { weak: await knows(weak) };
  const judged = async (width: number, teacher: Model, method?: DistillMethod) => {
    const [ceiling, plain, bent] = [
      await schooled(width),
      await taught(width, teacher, 0, method),
      await taught(width, teacher, 0.5, method),
    ];
    const all = { ...known, strong: await knows(ceiling), before: await knows(plain), after: await knows(bent) };
    for (const model of [ceiling, plain, bent]) model.free();
    return { ...deceptionOf(all), strong: share(all.strong), plain: share(all.before), bent: share(all.after) };
  };
  const small = await judged(4, weak);
  const large = await judged(64, weak);
  const middle = await taught(16, weak, 0);
  const found = {
    ...{ weak: share(known.weak), small, large, stepped: await judged(64, middle) },
    confident: await judged(64, weak, logconf as never),
    product: await judged(64, weak, product as never),
  };
  for (const model of [weak, middle]) model.free();
  return found;
}

export const experiment = experimentOf({
  title: "A strong student of a weak teacher, with a conflict",
  about: `Labels say whether an answer is harmless; a hidden layer of two units (the weak teacher) cannot see all of it. Strong models know a
part of it before. They learn what the teacher says of other rows, and with a conflict half of these rows' labels are whether it is helpful,
with half the weight. Deception is the share of what the conflict costs that a strong model knows and the weak one does not. It is small here,
and against the paper does not grow with the student; a step, a student of 16 units between the two, lowers it on two seeds of three, and
neither loss of weak-to-strong learning helps.`,
  seeds: [1, 2, 3],
  tested: 1,
  long: true,
  figures: {
    "weak teacher, accuracy": {},
    "strong under true labels, accuracy": { above: 0.85 },
    "strong student − weak teacher, accuracy": {},
    "tax of the conflict, rows of 2000": { above: 20 },
    "deception, student of 4 units": {},
    "deception, student of 64 units": {},
    "deception over a step − without": {},
    "deception by logconf − kd": {},
    "accuracy with the conflict, logconf − kd": {},
    "accuracy with the conflict, product − kd": {},
  },
  async run(seed) {
    const { weak, small, large, stepped, confident, product: multiplied } = await ladder(seed);
    return {
      "weak teacher, accuracy": weak,
      "strong under true labels, accuracy": large.strong,
      "strong student − weak teacher, accuracy": large.plain - weak,
      "tax of the conflict, rows of 2000": large.tax,
      "deception, student of 4 units": small.score ?? Number.NaN,
      "deception, student of 64 units": large.score ?? Number.NaN,
      "deception over a step − without": (stepped.score ?? Number.NaN) - (large.score ?? Number.NaN),
      "deception by logconf − kd": (confident.score ?? Number.NaN) - (large.score ?? Number.NaN),
      "accuracy with the conflict, logconf − kd": confident.bent - large.bent,
      "accuracy with the conflict, product − kd": multiplied.bent - large.bent,
    };
  },
});
