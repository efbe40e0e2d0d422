/**
 * Matching of trajectories: synthetic rows are moved so that a short training on them goes where a longer one on the
 * real rows went, from the same weights.
 *
 *   loss = |theta_N - theta*_(e+M)|^2 / |theta*_e - theta*_(e+M)|^2
 *
 * theta* an expert's weights after an epoch, e drawn anew, theta_N the weights after N steps on synthetic rows from
 * theta*_e. With a learning rate of 0 it is 1. Gradients go back through all N steps, into rows and rate.
 */
import { Random } from "../../data/random.ts";
import { UserError } from "../../errors.ts";
import type { Options, Values } from "../../method/options.ts";
import { freshWeights, trainable } from "../../run/twice/network.ts";
import { add, mul, sub, sum, times } from "../../tensor/twice/ops.ts";
import { constant, gradients, type Value } from "../../tensor/twice/value.ts";
import type { RealRows, SynthesisSetting, Synthetic } from "./contract.ts";
import { EXPERTS, expertPath, type Path, type Smoothing } from "./experts.ts";
import { Learnt, unrolled } from "./unrolled.ts";

export const MATCHING = {
  ...EXPERTS,
  inner_steps: { type: "number.integer >= 1", default: 20, help: "steps on synthetic rows, N", value: "N" },
  inner_batch: {
    type: "number.integer >= 1",
    help: "synthetic rows of such a step; all of them when left out",
    value: "N",
  },
  target_epochs: {
    type: "number.integer >= 1",
    default: 2,
    help: "epochs of the expert that they match, M",
    value: "M",
  },
  start_epochs: {
    type: "number.integer >= 1",
    default: 5,
    help: "epochs of the expert that they may begin at, from 0",
    value: "E",
  },
  rows_lr: { type: "number >= 0", default: 3, help: "learning rate of the rows", value: "RATE" },
  inner_lr: {
    type: "number >= 0",
    default: 0.05,
    help: "learning rate of the steps on them, to begin with",
    value: "RATE",
  },
  inner_lr_lr: { type: "number >= 0", default: 1e-3, help: "learning rate of that rate", value: "RATE" },
} as const satisfies Options;

export type MatchingValues = Values<typeof MATCHING>;

/** Throws UserError where the epochs to match are more than an expert has. */
export function checkMatching({ expert_epochs, target_epochs, start_epochs, inner_steps }: MatchingValues): void {
  if (start_epochs - 1 + target_epochs > expert_epochs)
    throw new UserError(
      `--start-epochs ${start_epochs} and --target-epochs ${target_epochs} go beyond the ${expert_epochs} epochs of an expert`,
      `give --expert-epochs ${start_epochs - 1 + target_epochs} or more`,
    );
  if (target_epochs > inner_steps)
    throw new UserError(
      `--inner-steps ${inner_steps} are fewer than the ${target_epochs} epochs that they match`,
      "give more of them",
    );
}

/** What methods that match trajectories do each in their way. */
export interface Matching {
  readonly smoothing: Smoothing;
  /** Momentum of the steps on synthetic rows. */
  readonly momentum: number;
  /** Whether the epochs on the way are matched too. */
  readonly between: boolean;
  /** Real rows to begin with, those of each class together. */
  first(paths: readonly Path[]): readonly number[];
  /** The weights that steps begin at, for an expert's. */
  begin(weights: Float64Array, shape: readonly number[], key: string): Float64Array;
  /** Factor of the inner loss for a beginning at an epoch. */
  factor(epoch: number): number;
}

/** Squared distance of weights, of shape (1). */
export const distance = (a: readonly Value[], b: readonly Value[]): Value =>
  a
    .map((x, i) => {
      const apart = sub(x, b[i]!);
      return sum(mul(apart, apart));
    })
    .reduce(add);

/** Rows of each class, `perClass` of each. Throws UserError for a class with fewer. */
export function rowsByClass({ labels }: RealRows, classes: number, perClass: number): number[][] {
  const found: number[][] = Array.from({ length: classes }, () => []);
  for (const [row, label] of labels.entries()) found[label]!.push(row);
  const few = found.findIndex((rows) => rows.length < perClass);
  if (few >= 0)
    throw new UserError(
      `class ${few} has ${found[few]!.length} rows, and ${perClass} synthetic ones begin as real ones`,
      "give more rows of it, or a smaller --per-class",
    );
  return found;
}

/** Real rows drawn at random, as many of each class. */
export const drawnRows = (rows: RealRows, classes: number, perClass: number, seed: number): number[] =>
  rowsByClass(rows, classes, perClass).flatMap((own, label) =>
    new Random(seed, "first rows", label).shuffled(own).slice(0, perClass),
  );

/** The loss at the weights that steps went through, against an expert's path from epoch `e` on. */
export function matchingLoss(
  went: readonly (readonly Value[])[],
  path: readonly (readonly Value[])[],
  { epoch, target, between }: { readonly epoch: number; readonly target: number; readonly between: boolean },
): Value {
  const each = Math.floor((went.length - 1) / target);
  const ratio = (k: number): Value => {
    const wanted = path[epoch + k]!;
    const whole = distance(path[epoch]!, wanted).data[0]!;
    return times(distance(went[k === target ? went.length - 1 : each * k]!, wanted), 1 / whole);
  };
  const matched = between ? Array.from({ length: target }, (_, k) => ratio(k + 1)) : [ratio(target)];
  return times(matched.reduce(add), 1 / matched.length);
}

/** Makes rows by matching. */
export async function matched(setting: SynthesisSetting<MatchingValues>, how: Matching): Promise<Synthetic> {
  const { network, values, seed, signal, perClass } = setting;
  const rows = setting.rows!;
  rowsByClass(rows, network.classes, perClass);
  const paths: Path[] = [];
  for (let expert = 0; expert < values.experts; expert++) {
    paths.push(expertPath(network, rows, values, { ...how.smoothing, seed, expert, signal }));
    setting.info(`expert ${expert + 1} of ${values.experts} has learnt the real rows`);
    await Bun.sleep(0); // signals are heard
  }
  const shapes = trainable(network).map(({ shape }) => shape);
  const wanted = paths.map((path) => path.map((weights) => weights.map((w, i) => constant(w, shapes[i]!))));
  const first = how.first(paths);
  const labels = first.map((row) => rows.labels[row]!);
  const begun = new Float64Array(first.length * network.inputs);
  for (const [i, row] of first.entries())
    begun.set(rows.x.subarray(row * network.inputs, (row + 1) * network.inputs), i * network.inputs);
  const x = new Learnt(begun, [first.length, network.inputs], values.rows_lr);
  const rate = new Learnt(Float64Array.of(values.inner_lr), [1], values.inner_lr_lr);
  const rest = freshWeights(network, seed);
  const batch = Math.min(values.inner_batch ?? first.length, first.length);
  for (let step = 0; step < setting.steps; step++) {
    signal.throwIfAborted();
    const random = new Random(seed, "matching", step);
    const [expert, epoch] = [random.below(paths.length), random.below(values.start_epochs)];
    const start = paths[expert]![epoch]!.map((w, i) => constant(how.begin(w, shapes[i]!, `${step} ${i}`), shapes[i]!));
    const order = roundsOf(first.length, batch, new Random(seed, "inner", step));
    const [synthetic, learning] = [x.value(), rate.value()];
    const went = unrolled(start, {
      ...{ network, rest, x: synthetic, labels, rate: learning, steps: values.inner_steps },
      ...{ momentum: how.momentum, factor: how.factor(epoch), picked: order },
    });
    const loss = matchingLoss(went, wanted[expert]!, { epoch, target: values.target_epochs, between: how.between });
    const [byRows, byRate] = gradients(loss, [synthetic, learning], { once: true });
    x.against(byRows!);
    rate.against(byRate!);
    rate.data[0] = Math.max(rate.data[0]!, 1e-6);
    setting.done(loss.data[0]!);
    if (step % 8 === 7) await Bun.sleep(0);
  }
  return { x: x.data, labels, rate: rate.data[0]!, steps: values.inner_steps };
}

/** Rows of each step: all of them again and again in new orders, `batch` at a time. */
function roundsOf(count: number, batch: number, random: Random): (step: number) => readonly number[] {
  const all = Array.from({ length: count }, (_, i) => i);
  if (batch >= count) return () => all;
  let left: number[] = [];
  return () => {
    if (left.length < batch) left = random.shuffled(all);
    return left.splice(0, batch);
  };
}
