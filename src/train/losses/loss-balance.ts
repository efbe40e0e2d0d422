/**
 * `train --loss-balance awl`: a small network tells from the losses of a row how uncertain it is, and the more it is,
 * the less the row counts. As in the code of TAT, MICCAI 2025, https://github.com/Yaziwel/TAT
 *
 *   s_i = [loss of the reference, KL of the model from it, loss of the model]     u_i = network(s_i), no gradient to s
 *   L = mean over rows of loss_i / (2 (u_i^2 + 1e-8)) + log(1 + u_i^2) / 2
 *
 * The loss of a row is the mean over its tokens; the reference is the model as it was, or the base under its adapter.
 * The network is 3 -> 16, a residual block LN, 16 -> 256, GELU, 256 -> 16, and 16 -> 1, whose weight begins at 0 and
 * whose bias at 1: all rows count alike at first.
 */
import type { Batch } from "../../data/batch.ts";
import { countedByRow, targetsOf } from "../../data/targets.ts";
import { UserError } from "../../errors.ts";
import type { Gpu } from "../../gpu/gpu.ts";
import { keyedUnits } from "../../keyed-random.ts";
import { baseTeacher, liveTeacher, type Teacher } from "../../run/teachers/teacher.ts";
import type { RowWeigher } from "../../run/training/cross-entropy.ts";
import type { Built } from "../../run/training/technique.ts";
import { gelu } from "../../tensor/ops/activation.ts";
import { joinColumns } from "../../tensor/ops/columns.ts";
import { crossEntropy } from "../../tensor/ops/cross-entropy.ts";
import { divergence } from "../../tensor/ops/divergence.ts";
import { add, addScalar, div, log, mul, scale, square, stopGradient } from "../../tensor/ops/elementwise.ts";
import { chunkedHead } from "../../tensor/ops/head-loss.ts";
import { linear } from "../../tensor/ops/linear.ts";
import { layerNorm } from "../../tensor/ops/norm.ts";
import { dot, rowSum } from "../../tensor/ops/reduce.ts";
import { Parameter } from "../../tensor/parameter.ts";
import type { Recorder } from "../../tensor/recorder.ts";
import { sizeOf, type Tensor } from "../../tensor/tensor.ts";

const SIGNALS = 3;
const WIDTH = 16;
const INNER = 16 * WIDTH;
const EPS = 1e-8;

/** Shapes, and the bound of uniform numbers that each begins with, or a constant. */
const TENSORS: Readonly<Record<string, readonly [shape: readonly number[], begins: { bound: number } | number]>> = {
  "in.weight": [[WIDTH, SIGNALS], { bound: 1 / Math.sqrt(SIGNALS) }],
  "in.bias": [[WIDTH], { bound: 1 / Math.sqrt(SIGNALS) }],
  "norm.weight": [[WIDTH], 1],
  "norm.bias": [[WIDTH], 0],
  "up.weight": [[INNER, WIDTH], { bound: 1 / Math.sqrt(WIDTH) }],
  "up.bias": [[INNER], { bound: 1 / Math.sqrt(WIDTH) }],
  "down.weight": [[WIDTH, INNER], { bound: 1 / Math.sqrt(INNER) }],
  "down.bias": [[WIDTH], { bound: 1 / Math.sqrt(INNER) }],
  "out.weight": [[1, WIDTH], 0],
  "out.bias": [[1], 1],
};

export type UncertaintyNetwork = ReadonlyMap<string, Parameter>;

/** A new network, drawn by (seed, name). */
export function uncertaintyNetwork(gpu: Gpu, seed: number): UncertaintyNetwork {
  return new Map(
    Object.entries(TENSORS).map(([part, [shape, begins]]) => {
      const name = `loss_balance.${part}`;
      const parameter = new Parameter(gpu, name, shape);
      const unit = keyedUnits(seed, name);
      const value = () => (typeof begins === "number" ? begins : begins.bound * (2 * unit() - 1));
      parameter.write(Float32Array.from({ length: sizeOf(shape) }, value));
      return [part, parameter];
    }),
  );
}

/** The uncertainty of rows (B), of what is known of each, (B, 3). No gradient goes to that. */
function uncertainty(rec: Recorder, network: UncertaintyNetwork, signals: Tensor): Tensor {
  const own = (part: string) => rec.parameter(network.get(part)!);
  const through = (x: Tensor, name: string) => linear(rec, x, own(`${name}.weight`), { bias: own(`${name}.bias`) });
  const x = through(stopGradient(rec, signals), "in");
  const normed = layerNorm(rec, x, own("norm.weight"), own("norm.bias"), { eps: 1e-5 });
  const u = through(add(rec, x, through(gelu(rec, through(normed, "up")), "down")), "out"); // (B, 1)
  return rec.reshape(u, [u.shape[0]!]);
}

/** What rows count with their uncertainty, (B), of their losses (B) and what is known of each, (B, 3). */
export function weighedByUncertainty(
  rec: Recorder,
  network: UncertaintyNetwork,
  losses: Tensor,
  signals: Tensor,
): { readonly weighed: Tensor; readonly u: Tensor } {
  const u = uncertainty(rec, network, signals);
  const squares = square(rec, u);
  const shares = div(rec, losses, addScalar(rec, squares, EPS));
  const penalty = log(rec, addScalar(rec, squares, 1));
  return { weighed: scale(rec, add(rec, shares, penalty), 0.5), u };
}

const rowsThatCount = (batch: Batch): number =>
  countedByRow(targetsOf(batch), batch.rows).filter((count) => count > 0).length;

/** Mean losses of rows (B), of those of tokens (N). */
function byRows(rec: Recorder, { rows, length }: Batch, losses: Tensor): Tensor {
  const shares = rec.input("shares of rows", [rows, length]);
  return rowSum(rec, mul(rec, rec.reshape(losses, [rows, length]), shares));
}

function weigher(network: UncertaintyNetwork, reference: Teacher, width: number): RowWeigher {
  return {
    counted: rowsThatCount,

    record(rec, batch, { recorded, inputs, targets, nll, budget }) {
      const theirs = reference.record(rec, inputs, batch);
      const { hidden, head } = recorded;
      const own = stopGradient(rec, hidden);
      const along = [targets, ...theirs.along];
      const common = { hidden: own, head, width, along, ...(budget ? { budget } : {}) };
      const before = chunkedHead(rec, {
        ...common,
        head: (rows) => rows,
        loss: (_, [labels, ...rest]) => crossEntropy(rec, theirs.logits(rec, rest), labels!, {}),
      });
      const moved = chunkedHead(rec, {
        ...common,
        loss: (logits, [labels, ...rest]) =>
          divergence(rec, logits, theirs.logits(rec, rest), labels!, { kind: "forward-kl" }),
      });
      const losses = byRows(rec, batch, nll);
      const known = [before, moved].map((each) => byRows(rec, batch, stopGradient(rec, each)));
      const column = (x: Tensor) => rec.reshape(x, [batch.rows, 1]);
      const signals = joinColumns(rec, [...known, stopGradient(rec, losses)].map(column));
      const { weighed, u } = weighedByUncertainty(rec, network, losses, signals);
      const weights = rec.input("weights of rows", [batch.rows]);
      return {
        backward: [[weighed, weights]],
        metrics: {
          loss: dot(rec, losses, weights),
          balanced_loss: dot(rec, weighed, weights),
          uncertainty: dot(rec, u, weights),
        },
      };
    },

    fill(program, batch, total) {
      const targets = targetsOf(batch);
      const counts = countedByRow(targets, batch.rows);
      const { length } = batch;
      program.write(
        "shares of rows",
        Float32Array.from(targets, (target, i) => (target < 0 ? 0 : 1 / counts[Math.floor(i / length)]!)),
      );
      program.write(
        "weights of rows",
        counts.map((count) => (count > 0 ? 1 / total : 0)),
      );
    },
  };
}

/** What weighs rows, and what is trained and held for it. */
export interface LossBalance {
  readonly weigher: RowWeigher;
  readonly extra: readonly Parameter[];
  readonly memory: Readonly<Record<string, number>>;
  free(): void;
}

/**
 * The part of a training that weighs rows, with what is trained and held for it. Throws UserError for packed rows, and
 * where the model as it was is a base with the adapter that is trained on.
 */
export async function lossBalance(
  { gpu, model, original }: Pick<Built, "gpu" | "model" | "original">,
  { pack, seed, continues }: { readonly pack: boolean; readonly seed: number; readonly continues: boolean },
): Promise<LossBalance> {
  if (continues)
    throw new UserError(
      "--loss-balance awl reads the model as it was, the base with its adapter, and --lora-continue changes that",
      "merge the adapter into the base first, or leave out --loss-balance",
    );
  if (pack)
    throw new UserError("--loss-balance awl weighs rows one by one, and --pack joins several", "leave out --pack");
  const reference = model.adapter ? baseTeacher(model) : liveTeacher(await original(), model.sizes.outputs);
  const network = uncertaintyNetwork(gpu, seed);
  return {
    weigher: weigher(network, reference, model.sizes.outputs),
    extra: [...network.values()],
    memory: reference.bytes > 0 ? { reference: reference.bytes } : {},
    free() {
      reference.free();
      for (const parameter of network.values()) parameter.free();
    },
  };
}
