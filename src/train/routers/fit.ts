/**
 * Fits routers to ways that were found. Heakl et al. 2025, Dr.LLM, https://arxiv.org/abs/2510.12773
 *
 *   loss of a layer   - a_y (1 - p_y)^gamma log p_y,   a_y proportional to (1 - beta) / (1 - beta^n_y)
 *
 * where n_y is how often the choice y stands in all ways; the weights a add up to 3. The way that was found is taken
 * through the layers, whatever the routers say. The model is frozen.
 */
import { collate, type TokenBatch } from "../../data/batch.ts";
import type { Sequence } from "../../data/sequences.ts";
import { permutation } from "../../data/shuffle.ts";
import { bindDefaults } from "../../method/bind.ts";
import { loadMethod } from "../../method/registry.ts";
import type { Model } from "../../model/model.ts";
import { fillInputs, recordInputs } from "../../run/batch-programs.ts";
import { fillWindows, MOST_TURNS, Routers, recordWindows } from "../../run/depth/routers.ts";
import { fillTurns, mixedTurns, recordTurns, sharesIn } from "../../run/depth/row-depth.ts";
import type { Objective } from "../../run/training/objective.ts";
import { Trainer } from "../../run/training/trainer.ts";
import { add, addScalar, exp, log, mul, neg, scale } from "../../tensor/ops/elementwise.ts";
import { sum } from "../../tensor/ops/reduce.ts";
import { logSoftmax } from "../../tensor/ops/softmax.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import type { Times } from "./path-tree.ts";

export interface FitOptions {
  readonly hidden: number;
  readonly epochs: number;
  /** Rows of a micro-batch, and micro-batches of a step. */
  readonly batch: number;
  readonly accumulate: number;
  readonly lr: number;
  readonly warmUp: number;
  readonly decay: number;
  readonly gamma: number;
  readonly beta: number;
  readonly seed: number;
  readonly signal: AbortSignal;
  readonly pad: number;
  readonly done?: (rows: number, loss: number) => void;
}

/** A row with the way that was found for it. */
export interface LabelledRow {
  readonly sequence: Sequence;
  readonly times: Times;
}

interface WayBatch {
  readonly batch: TokenBatch;
  readonly times: readonly Times[];
}

/** Weights of the choices, by how many labels are so; a choice that no label has gets 0. They add up to 3. */
export function classWeights(rows: readonly Times[], beta: number): number[] {
  const counts = Array.from({ length: MOST_TURNS + 1 }, (_, turns) =>
    rows.reduce((total, times) => total + times.filter((count) => count === turns).length, 0),
  );
  const raw = counts.map((count) => (count === 0 ? 0 : (1 - beta) / (1 - beta ** count)));
  const total = raw.reduce((a, b) => a + b, 0);
  return raw.map((weight) => (weight * (MOST_TURNS + 1)) / total);
}

/** The loss of routers along ways that are given: a mean over rows and layers. */
export function fitObjective(
  model: Model,
  routers: Routers,
  { weights, gamma }: { readonly weights: readonly number[]; readonly gamma: number },
): Objective<WayBatch> {
  const { layers } = model.sizes;
  return {
    name: "routers",
    key: ({ batch }) => `${batch.rows} ${batch.length}`,
    counted: ({ batch }) => batch.rows,
    size: ({ batch }) => batch.rows * batch.length,
    record(rec, { batch }) {
      const inputs = recordInputs(rec, batch);
      const windows = recordWindows(rec, batch.rows, batch.length);
      const byChoice = rec.constant(Float32Array.from(weights), [1, weights.length], "weights of choices");
      let total: Tensor | undefined;
      const depth = mixedTurns(rec, batch.rows, (layer, x) => {
        const label = recordTurns(rec, layer, batch.rows, MOST_TURNS); // (B, 3)
        const logs = logSoftmax(rec, routers.logits(rec, layer, x, windows));
        const missed = addScalar(rec, neg(rec, exp(rec, logs)), 1 + 1e-7); // 1 - p
        const focus = exp(rec, scale(rec, log(rec, missed), gamma));
        const own = sum(rec, mul(rec, mul(rec, mul(rec, focus, neg(rec, logs)), label), byChoice));
        total = total ? add(rec, total, own) : own;
        return sharesIn(rec, label);
      });
      model.record(rec, inputs, { depth });
      const seed = rec.input("share of a row", [1]);
      return { backward: [[total!, seed]], metrics: { loss: mul(rec, total!, seed) } };
    },
    fill(program, { batch, times }, all) {
      fillInputs(program, batch);
      fillWindows(program, batch);
      fillTurns(program, layers, MOST_TURNS, times);
      program.write("share of a row", Float32Array.of(1 / (all * layers)));
    },
  };
}

/** Trains routers; gives them with the mean loss of the last epoch. */
export async function fitRouters(
  model: Model,
  rows: readonly LabelledRow[],
  options: FitOptions,
): Promise<{ readonly routers: Routers; readonly loss: number }> {
  const { seed, signal, batch, accumulate, pad } = options;
  const { layers, width } = model.sizes;
  const routers = Routers.fresh(model.gpu, { layers, width, hidden: options.hidden }, seed);
  const weights = classWeights(
    rows.map(({ times }) => times),
    options.beta,
  );
  const trainer = await Trainer.make<WayBatch>({
    ...{ gpu: model.gpu, parameters: routers.parameters(), seed, clip: 0 },
    objective: fitObjective(model, routers, { weights, gamma: options.gamma }),
    optimizer: bindDefaults(await loadMethod("optimizer", "adamw"), { weight_decay: options.decay }),
    decays: ({ name }) => name.endsWith(".weight"),
  });
  let [step, last] = [0, Number.NaN];
  try {
    for (let epoch = 0; epoch < options.epochs; epoch++) {
      const order = permutation(rows.length, seed, epoch, "routers");
      const losses: Promise<number>[] = [];
      for (let from = 0; from < rows.length; from += batch * accumulate) {
        signal.throwIfAborted();
        const own = Array.from(order.subarray(from, from + batch * accumulate), (row) => rows[row]!);
        const parts = Array.from({ length: Math.ceil(own.length / batch) }, (_, i) =>
          own.slice(i * batch, (i + 1) * batch),
        );
        const batches = parts.map((part) => ({
          batch: collate(
            part.map(({ sequence }) => [sequence]),
            { pad },
          ),
          times: part.map(({ times }) => times),
        }));
        const lr = options.lr * Math.min(1, ++step / Math.max(1, options.warmUp));
        const { result } = await trainer.step(step, lr, batches);
        losses.push(result.then(({ metrics }) => (metrics.loss ?? Number.NaN) * own.length));
      }
      const sums = await Promise.all(losses);
      last = sums.reduce((a, b) => a + b, 0) / rows.length;
      options.done?.(rows.length, last);
    }
  } finally {
    trainer.free();
  }
  return { routers, loss: last };
}
