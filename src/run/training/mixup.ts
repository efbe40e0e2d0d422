/**
 * Mixup: rows of two, and losses by the labels of both. Zhang et al., ICLR 2018, https://arxiv.org/abs/1710.09412; with
 * a share of the rows left whole, partial mixup, Choi et al., WACV 2023, https://arxiv.org/abs/2211.03946
 *
 *   lambda L(z, y_i) + (1 - lambda) L(z, y_j),  z of lambda x_i + (1 - lambda) x_j,  lambda ~ Beta(beta, beta)
 */
import type { ExampleBatch } from "../../data/batch.ts";
import { Random } from "../../data/random.ts";
import { targetsOf } from "../../data/targets.ts";
import type { Options } from "../../method/options.ts";
import { type CrossEntropyOptions, crossEntropy } from "../../tensor/ops/cross-entropy.ts";
import { add, mul } from "../../tensor/ops/elementwise.ts";
import { embedding } from "../../tensor/ops/embedding.ts";
import type { Program } from "../../tensor/program.ts";
import type { Recorder } from "../../tensor/recorder.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { type ChosenLoss, labelRows } from "./label-loss.ts";
import { FIRST, fillMixedEmbeddings, mixedEmbeddings } from "./mixed-embeddings.ts";

export const MIXUP = {
  mixup: {
    type: "number >= 0",
    default: 0,
    value: "BETA",
    help: "of a classifier: mix rows in pairs, by a share of Beta(BETA, BETA), and their losses; 0: not",
  },
  mixup_keep: {
    type: "0 <= number <= 1",
    default: 0,
    needs: "mixup",
    value: "SHARE",
    help: "share of the rows of a batch that stay whole",
  },
} as const satisfies Options;

/** How rows are mixed. */
export interface Mixing {
  readonly beta: number;
  /** Share of the rows that stay whole; 0 when left out. */
  readonly keep?: number;
  readonly seed: number;
}

/** Gamma(shape, 1). Marsaglia and Tsang 2000, https://doi.org/10.1145/358407.358414 */
function gammaDraw(random: Random, shape: number): number {
  if (shape < 1) return gammaDraw(random, shape + 1) * random.uniform() ** (1 / shape);
  const d = shape - 1 / 3;
  const c = 1 / Math.sqrt(9 * d);
  for (;;) {
    const x = Math.sqrt(-2 * Math.log(1 - random.uniform())) * Math.cos(2 * Math.PI * random.uniform());
    const v = (1 + c * x) ** 3;
    if (v > 0 && Math.log(1 - random.uniform()) < 0.5 * x * x + d - d * v + d * Math.log(v)) return d * v;
  }
}

/** Beta(beta, beta), in [0, 1]; where both draws vanish, one of the ends. */
export function betaDraw(random: Random, beta: number): number {
  const [a, b] = [gammaDraw(random, beta), gammaDraw(random, beta)];
  return a + b > 0 ? a / (a + b) : random.below(2);
}

/** For every row of a batch another one, and how much of itself it keeps: a function of the seed and the rows. */
export function mixture(places: readonly string[], rows: number, { beta, keep = 0, seed }: Mixing) {
  const random = new Random(seed, "mixup", ...places);
  const partners = new Int32Array(rows).map(() => random.below(rows));
  const shares = new Float32Array(rows).map(() => betaDraw(random, beta));
  const left = [...shares.keys()];
  for (let whole = Math.round(keep * rows); whole > 0; whole--) {
    const [row] = left.splice(random.below(left.length), 1);
    shares[row!] = 1;
  }
  return { partners, shares };
}

/** What is known of the other label of each row, (N) each. */
export interface OtherLabels {
  /** i32 */
  readonly others: Tensor;
  /** Of the row's own label, and of the other. */
  readonly shares: Tensor;
  readonly rests: Tensor;
  /** 1 where the two labels differ, else 0. */
  readonly apart: Tensor;
}

const [PARTNERS, OTHERS, SHARES, RESTS] = ["mixup partners", "mixup targets", "mixup shares", "mixup rests"];
const APART = "mixup apart";

export const otherLabels = (rec: Recorder, n: number): OtherLabels => ({
  others: rec.input(OTHERS, [n], "i32"),
  shares: rec.input(SHARES, [n]),
  rests: rec.input(RESTS, [n]),
  apart: rec.input(APART, [n]),
});

/** Losses of rows (N) by both labels of each: the loss's own, or those of either label in proportion. */
export function mixedLosses(
  rec: Recorder,
  logits: Tensor,
  targets: Tensor,
  other: OtherLabels,
  loss: ChosenLoss | undefined,
  softened: CrossEntropyOptions = {},
): Tensor {
  const { method, values } = loss?.loss ?? {};
  if (method?.mixed && values !== undefined)
    return method.mixed(rec, { logits, targets, ...other, values, softened: loss!.softened });
  const of = (labels: Tensor) =>
    loss ? labelRows(rec, loss, logits, labels) : crossEntropy(rec, logits, labels, softened);
  return add(rec, mul(rec, of(targets), other.shares), mul(rec, of(other.others), other.rests));
}

/** Mixed rows of what a head reads, (N, C). */
export function mixedHidden(rec: Recorder, hidden: Tensor, { shares, rests }: OtherLabels): Tensor {
  const n = hidden.shape[0]!;
  const column = (x: Tensor) => rec.reshape(x, [n, 1]);
  const partners = embedding(rec, rec.input(PARTNERS, [n], "i32"), hidden);
  return add(rec, mul(rec, hidden, column(shares)), mul(rec, partners, column(rests)));
}

/** Puts mixed rows in the place of what the first block of a model reads. */
export const mixesFirst =
  (rec: Recorder) =>
  (name: string, x: Tensor): Tensor =>
    name === FIRST ? mixedEmbeddings(rec, x) : x;

/** Fills what the functions above declared. */
export function fillMixup(program: Program, batch: ExampleBatch, mixing: Mixing): void {
  const { partners, shares } = mixture("places" in batch ? batch.places : [], batch.rows, mixing);
  const targets = targetsOf(batch);
  if (program.takes(PARTNERS)) program.write(PARTNERS, partners);
  else fillMixedEmbeddings(program, batch, { partners, shares });
  const write = (name: string, values: Float32Array | Int32Array) => {
    if (program.takes(name)) program.write(name, values);
  };
  write(SHARES, shares);
  write(
    RESTS,
    shares.map((share) => 1 - share),
  );
  write(
    OTHERS,
    partners.map((j) => targets[j]!),
  );
  write(
    APART,
    Float32Array.from(partners, (j, i) => (targets[i] === targets[j] ? 0 : 1)),
  );
}
