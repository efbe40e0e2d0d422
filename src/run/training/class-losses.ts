/**
 * Losses for classifiers of few rows, beside the labels' cross-entropy: mixup of what the head reads, and a supervised
 * contrastive loss. Verma et al., ICML 2019, https://arxiv.org/abs/1806.05236 (mixup of hidden states, after Zhang et
 * al. 2018, https://arxiv.org/abs/1710.09412); Khosla et al., NeurIPS 2020, https://arxiv.org/abs/2004.11362
 *
 *   mixup        lambda CE(head(m), y_i) + (1 - lambda) CE(head(m), y_j),  m = lambda h_i + (1 - lambda) h_j,
 *                lambda ~ Beta(beta, beta), j a row of the batch; one lambda and one j for every row; or m is what
 *                becomes of mixed embeddings (mixed-embeddings.ts)
 *   contrastive  weight times -mean over the others j of the row's class of log softmax(<z_i, z_j> / tau), z = h / |h|
 */
import { type Batch, type ExampleBatch, isPairs, isTokens } from "../../data/batch.ts";
import { Random } from "../../data/random.ts";
import { targetsOf } from "../../data/targets.ts";
import { UserError } from "../../errors.ts";
import type { Options, Values } from "../../method/options.ts";
import type { Model } from "../../model/model.ts";
import { type CrossEntropyOptions, crossEntropy } from "../../tensor/ops/cross-entropy.ts";
import { add, mul, scale } from "../../tensor/ops/elementwise.ts";
import { embedding } from "../../tensor/ops/embedding.ts";
import { chunkedHead } from "../../tensor/ops/head-loss.ts";
import type { Program } from "../../tensor/program.ts";
import type { Recorder } from "../../tensor/recorder.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { contrastive, positivesOf, unitRows } from "./contrastive.ts";
import { FIRST, fillMixedEmbeddings, mixedEmbeddings } from "./mixed-embeddings.ts";

export const CLASS_LOSSES = {
  mixup: {
    type: "number >= 0",
    default: 0,
    value: "BETA",
    help: "of a classifier: mix what its head reads of two rows, by a share of Beta(BETA, BETA), and their losses; 0: not",
  },
  mixup_at: {
    type: "'head' | 'embedding'",
    default: "head",
    needs: "mixup",
    help: "where rows are mixed: what the head reads, or what the first block reads (embedded tokens, patches, numbers)",
  },
  contrastive: {
    type: "number >= 0",
    default: 0,
    value: "WEIGHT",
    help: "of a classifier: weight of a loss that draws what its head reads of rows of one class together",
  },
  contrastive_temperature: {
    type: "number > 0",
    default: 0.1,
    needs: "contrastive",
    value: "TAU",
    help: "divides the cosines of rows",
  },
} as const satisfies Options;

export interface ClassLosses {
  /** Gives the tensor that takes the place of a noted one of the model. */
  replace?(rec: Recorder): (name: string, x: Tensor) => Tensor;
  /** Of the labels of mixed rows, (N). */
  mixed?(rec: Recorder, given: HeadGiven): Tensor;
  /** Weighted contrastive loss of every row (N). */
  contrast?(rec: Recorder, batch: Batch, hidden: Tensor): Tensor;
  fill(program: Program, batch: Batch): void;
}

export interface HeadGiven extends CrossEntropyOptions {
  /** (N, C) */
  readonly hidden: Tensor;
  readonly head: (hidden: Tensor) => Tensor;
  readonly width: number;
  /** (N) i32 */
  readonly targets: Tensor;
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
export function mixture(places: readonly string[], rows: number, { beta, seed }: { beta: number; seed: number }) {
  const random = new Random(seed, "mixup", ...places);
  const partners = new Int32Array(rows).map(() => random.below(rows));
  const shares = new Float32Array(rows).map(() => betaDraw(random, beta));
  return { partners, shares };
}

const [PARTNERS, OTHERS, SHARES, RESTS] = ["mixup partners", "mixup targets", "mixup shares", "mixup rests"];
const POSITIVES = "contrastive positives";

/** Losses of rows by both labels of each; `mixes`: of what the head reads of two, else of rows that are mixed. */
function mixedLoss(rec: Recorder, given: HeadGiven, mixes: boolean): Tensor {
  const { hidden, head, width, targets, ...options } = given;
  const n = hidden.shape[0]!;
  const others = rec.input(OTHERS, [n], "i32");
  const [shares, rests] = [rec.input(SHARES, [n]), rec.input(RESTS, [n])];
  const column = (x: Tensor) => rec.reshape(x, [n, 1]);
  const mixed = () => {
    const partners = embedding(rec, rec.input(PARTNERS, [n], "i32"), hidden);
    return add(rec, mul(rec, hidden, column(shares)), mul(rec, partners, column(rests)));
  };
  return chunkedHead(rec, {
    ...{ hidden: mixes ? mixed() : hidden, head, width, along: [targets, others, shares, rests] },
    loss: (logits, [own, other, share, rest]) =>
      add(
        rec,
        mul(rec, crossEntropy(rec, logits, own!, options), share!),
        mul(rec, crossEntropy(rec, logits, other!, options), rest!),
      ),
  });
}

function fillMixture(program: Program, batch: ExampleBatch, { beta, seed }: { beta: number; seed: number }): void {
  const { partners, shares } = mixture("places" in batch ? batch.places : [], batch.rows, { beta, seed });
  const targets = targetsOf(batch);
  if (program.takes(PARTNERS)) program.write(PARTNERS, partners);
  else fillMixedEmbeddings(program, batch, { partners, shares });
  program.write(SHARES, shares);
  program.write(
    RESTS,
    shares.map((share) => 1 - share),
  );
  program.write(
    OTHERS,
    partners.map((j) => targets[j]!),
  );
}

/** What options ask for; undefined where they ask for nothing. Throws UserError for a model that is no classifier. */
export function classLosses(
  model: Model,
  { mixup: beta, mixup_at: at, contrastive: weight, contrastive_temperature: tau }: Values<typeof CLASS_LOSSES>,
  seed: number,
): ClassLosses | undefined {
  if (beta === 0 && weight === 0) return undefined;
  if (model.task !== "classifier")
    throw new UserError(
      `${beta > 0 ? "--mixup" : "--contrastive"} is for classifiers, and ${model.architecture.name} is a ${model.task}`,
      "leave it out",
    );
  return {
    ...(beta > 0 ? { mixed: (rec, given) => mixedLoss(rec, given, at === "head") } : {}),
    ...(beta > 0 && at === "embedding"
      ? { replace: (rec) => (name, x) => (name === FIRST ? mixedEmbeddings(rec, x) : x) }
      : {}),
    ...(weight > 0
      ? {
          contrast(rec, { rows }, hidden) {
            const positives = rec.input(POSITIVES, [rows, rows]);
            return scale(rec, contrastive(rec, unitRows(rec, hidden), positives, tau), weight);
          },
        }
      : {}),
    fill(program, batch) {
      if (isTokens(batch) || isPairs(batch)) throw new TypeError("only examples have classes");
      if (beta > 0) fillMixture(program, batch, { beta, seed });
      if (weight > 0) program.write(POSITIVES, positivesOf([...batch.labels]));
    },
  };
}
