/**
 * Exits and their gates, learnt together on the rows that leave where they do. Regol et al. 2024, Jointly-Learned Exit
 * and Inference for a Dynamic Neural Network, https://arxiv.org/abs/2310.09163
 *
 *   warm-up       sum over exits of (heads + 1 - l) CE_l, l from 1
 *   gate phase    l* = argmin over l of CE_l + lambda cost_l; the gates from l* on are to open, the others to stay shut
 *   head phase    (sum_l P_l CE_l) (sum_l CE_l / sum_l P_l CE_l), the second factor a constant
 *
 * The two phases take turns. As constants the factors of the head phase keep a row's magnitude while the shares P weigh
 * its exits; in the reference they take part in the gradient, where they cancel. The model is frozen, its own head too.
 */

import { permutation } from "../../data/shuffle.ts";
import type { Gpu } from "../../gpu/gpu.ts";
import { bindDefaults } from "../../method/bind.ts";
import { loadMethod } from "../../method/registry.ts";
import { exitOf, meanCost } from "../../run/exits/deciding.ts";
import { type ExitStates, fillStates, type HeardRow, hearExits, saidBy } from "../../run/exits/exit-rows.ts";
import { type ExitPlan, Exits, gateInputs, recordShares } from "../../run/exits/exits.ts";
import type { Objective } from "../../run/training/objective.ts";
import { Trainer } from "../../run/training/trainer.ts";
import { crossEntropy } from "../../tensor/ops/cross-entropy.ts";
import {
  add,
  addScalar,
  div,
  isPositive,
  logSigmoid,
  minimum,
  mul,
  neg,
  scale,
  sigmoid,
  stopGradient,
  sub,
} from "../../tensor/ops/elementwise.ts";
import { mean } from "../../tensor/ops/reduce.ts";
import type { Parameter } from "../../tensor/parameter.ts";
import type { Recorder } from "../../tensor/recorder.ts";
import type { Tensor } from "../../tensor/tensor.ts";

export interface JeiOptions {
  /** Weight of the cost. */
  readonly lambda: number;
  readonly epochs: number;
  /** Most epochs of warm-up, and how many of them without a better loss end it. */
  readonly warmUp: number;
  readonly patience: number;
  /** Batches of a phase. */
  readonly turn: number;
  readonly batch: number;
  readonly lr: { readonly first: number; readonly last: number };
  readonly decay: number;
  readonly seed: number;
  readonly signal: AbortSignal;
  readonly done?: ((rows: number) => void) | undefined;
}

/** Rows to learn from, and rows by which phases are weighed. */
export interface JeiRows {
  readonly train: readonly ExitStates[];
  readonly held: readonly ExitStates[];
}

/** A batch, with what its phase asks for beside the rows. */
interface ExitBatch {
  readonly rows: readonly ExitStates[];
  /** Of every gate: how much a row counts in which it is to open. */
  readonly openWeights: readonly number[];
}

const own = {
  key: ({ rows }: ExitBatch) => `${rows.length}`,
  counted: ({ rows }: ExitBatch) => rows.length,
  size: ({ rows }: ExitBatch) => rows.length,
};

const addAll = (rec: Recorder, parts: readonly Tensor[]): Tensor => parts.reduce((a, b) => add(rec, a, b));

/** -log p of the labels at every exit, (N) each, and the logits of all but the last; fills are those of `fillRows`. */
function recordLosses(rec: Recorder, exits: Exits, n: number): { losses: Tensor[]; logits: Tensor[] } {
  const labels = rec.input("labels", [n], "i32");
  const logits = exits.plan.widths.map((width, exit) =>
    exits.logits(rec, exit, rec.input(`states ${exit}`, [n, width])),
  );
  const last = rec.input("last loss", [n]);
  return { losses: [...logits.map((own) => crossEntropy(rec, own, labels)), last], logits };
}

function fillRows(
  program: Parameters<Objective<ExitBatch>["fill"]>[0],
  exits: Exits,
  rows: readonly ExitStates[],
): void {
  for (const exit of exits.heads.keys()) fillStates(program, rows, exit);
  program.write(
    "labels",
    Int32Array.from(rows, ({ label }) => label),
  );
  program.write(
    "last loss",
    Float32Array.from(rows, ({ logits, label }) => saidBy(logits, label).loss),
  );
}

/** The mean over rows, to go back from. */
function meanOf(rec: Recorder, rows: Tensor): ReturnType<Objective<ExitBatch>["record"]> {
  const loss = mean(rec, rows);
  return { backward: [[loss, rec.constant(Float32Array.of(1), [1], "one")]], metrics: { loss } };
}

/** Heads alone, the earlier ones weighed more. */
export const warmUpObjective = (exits: Exits): Objective<ExitBatch> => ({
  name: "exits warm-up",
  ...own,
  record(rec, { rows }) {
    const { losses } = recordLosses(rec, exits, rows.length);
    const heads = losses.slice(0, -1);
    return meanOf(
      rec,
      addAll(
        rec,
        heads.map((loss, exit) => scale(rec, loss, heads.length - exit)),
      ),
    );
  },
  fill: (program, { rows }) => fillRows(program, exits, rows),
});

/** Heads, weighed by the shares of rows that leave at them. */
export const headObjective = (exits: Exits): Objective<ExitBatch> => ({
  name: "exits",
  ...own,
  record(rec, { rows }) {
    const { losses, logits } = recordLosses(rec, exits, rows.length);
    const gates = logits.map((own, exit) =>
      stopGradient(rec, sigmoid(rec, exits.gateLogits(rec, exit, gateInputs(rec, stopGradient(rec, own))))),
    );
    const shares = recordShares(rec, gates).map((share) => stopGradient(rec, share));
    const weighed = addAll(
      rec,
      losses.map((loss, exit) => mul(rec, loss, shares[exit]!)),
    );
    const least = addScalar(rec, stopGradient(rec, weighed), 1e-12);
    const ratio = div(rec, stopGradient(rec, addAll(rec, losses)), least);
    return meanOf(rec, mul(rec, weighed, stopGradient(rec, ratio)));
  },
  fill: (program, { rows }) => fillRows(program, exits, rows),
});

/** Gates, of heads as they are. */
export const gateObjective = (exits: Exits, lambda: number): Objective<ExitBatch> => ({
  name: "exit gates",
  ...own,
  record(rec, { rows }) {
    const n = rows.length;
    const { losses, logits } = recordLosses(rec, exits, n);
    const costs = losses.map((loss, exit) => addScalar(rec, stopGradient(rec, loss), lambda * exits.plan.costs[exit]!));
    const cheapest = costs.reduce((a, b) => minimum(rec, a, b));
    let sofar: Tensor | undefined;
    const parts = logits.map((own, exit) => {
      sofar = sofar ? minimum(rec, sofar, costs[exit]!) : costs[exit]!;
      const shut = isPositive(rec, sub(rec, sofar, cheapest)); // 1 where the cheapest exit is still to come
      const open = addScalar(rec, scale(rec, shut, -1), 1);
      const z = exits.gateLogits(rec, exit, stopGradient(rec, gateInputs(rec, stopGradient(rec, own))));
      const weight = rec.input(`open weight ${exit}`, [1]);
      const opens = mul(rec, mul(rec, open, logSigmoid(rec, z)), weight);
      return neg(rec, add(rec, opens, mul(rec, shut, logSigmoid(rec, neg(rec, z)))));
    });
    return meanOf(rec, addAll(rec, parts));
  },
  fill(program, { rows, openWeights }) {
    fillRows(program, exits, rows);
    for (const [exit, weight] of openWeights.entries()) program.write(`open weight ${exit}`, Float32Array.of(weight));
  },
});

/** The exit of a row with the least loss and cost. */
export function cheapestExit({ said }: HeardRow, { costs }: ExitPlan, lambda: number): number {
  const worth = said.map(({ loss }, exit) => loss + lambda * costs[exit]!);
  return worth.indexOf(Math.min(...worth));
}

/** Of every gate, the rows in which it is to stay shut for one in which it is to open; each kind counted once more. */
function openWeights(heard: readonly HeardRow[], plan: ExitPlan, lambda: number): number[] {
  const cheapest = heard.map((row) => cheapestExit(row, plan, lambda));
  return plan.at.map((_, exit) => {
    const open = cheapest.filter((best) => best <= exit).length;
    return (heard.length - open + 1) / (open + 1);
  });
}

/** A rate that falls from the first to the last by half a cosine. */
const falling =
  ({ first, last }: JeiOptions["lr"], steps: number) =>
  (step: number): number =>
    last + (first - last) * 0.5 * (1 + Math.cos((Math.PI * (step - 1)) / Math.max(1, steps)));

/** What trains some parameters on batches of rows, step by step. */
async function trainerOf(gpu: Gpu, parameters: readonly Parameter[], objective: Objective<ExitBatch>, o: JeiOptions) {
  return Trainer.make<ExitBatch>({
    ...{ gpu, parameters, objective, seed: o.seed, clip: 0 },
    optimizer: bindDefaults(await loadMethod("optimizer", "adamw"), { weight_decay: o.decay }),
    decays: ({ name }) => name.endsWith(".weight"),
  });
}

/** Batches of an epoch, all of one size. */
function* epochBatches(rows: readonly ExitStates[], { batch, seed }: JeiOptions, epoch: number, name: string) {
  const order = permutation(rows.length, seed, epoch, name);
  const size = Math.min(batch, rows.length);
  for (let from = 0; from + size <= rows.length; from += size)
    yield Array.from(order.subarray(from, from + size), (row) => rows[row]!);
}

/** Exits whose heads alone were trained, until held-out rows say no better. */
export async function warmedUp(gpu: Gpu, plan: ExitPlan, rows: JeiRows, options: JeiOptions): Promise<Exits> {
  const exits = Exits.fresh(gpu, plan, options.seed);
  const heads = exits.heads.flatMap(({ weight, bias }) => [weight, bias]);
  const trainer = await trainerOf(gpu, heads, warmUpObjective(exits), options);
  let [best, waited, step] = [Number.POSITIVE_INFINITY, 0, 0];
  for (let epoch = 0; epoch < options.warmUp && waited < options.patience; epoch++) {
    for (const part of epochBatches(rows.train, options, epoch, "warm-up")) {
      options.signal.throwIfAborted();
      await (await trainer.step(++step, options.lr.first, [{ rows: part, openWeights: [] }])).result;
    }
    options.done?.(rows.train.length);
    const heard = await hearExits(gpu, exits, rows.held);
    const loss = heard.reduce((sum, { said }) => sum + said.slice(0, -1).reduce((all, own) => all + own.loss, 0), 0);
    waited = loss < best ? 0 : waited + 1;
    best = Math.min(best, loss);
  }
  trainer.free();
  return exits;
}

/** Trains heads and gates in turns. */
export async function trainJei(gpu: Gpu, exits: Exits, rows: JeiRows, options: JeiOptions): Promise<void> {
  const { lambda, turn, epochs } = options;
  const of = (list: Exits["heads"]) => list.flatMap(({ weight, bias }) => [weight, bias]);
  const gates = await trainerOf(gpu, of(exits.gates), gateObjective(exits, lambda), options);
  const heads = await trainerOf(gpu, of(exits.heads), headObjective(exits), options);
  const batches = Math.max(1, Math.floor(rows.train.length / Math.min(options.batch, rows.train.length)));
  const rate = falling(options.lr, epochs * batches);
  const steps = { gates: 0, heads: 0 };
  let weights: number[] = [];
  let count = 0;
  let last: Promise<unknown> = Promise.resolve();
  for (let epoch = 0; epoch < epochs; epoch++) {
    for (const part of epochBatches(rows.train, options, epoch, "exits")) {
      options.signal.throwIfAborted();
      const isGates = Math.floor(count / turn) % 2 === 0;
      if (isGates && count % turn === 0)
        weights = openWeights(await hearExits(gpu, exits, rows.held), exits.plan, lambda);
      const batch = { rows: part, openWeights: weights };
      const lr = rate(++count);
      const { result } = await (isGates
        ? gates.step(++steps.gates, lr, [batch])
        : heads.step(++steps.heads, lr, [batch]));
      last = result;
    }
    await last;
    options.done?.(rows.train.length);
  }
  gates.free();
  heads.free();
}

/** How rows fare that leave where their gates say. */
export function fate(heard: readonly HeardRow[], { costs }: ExitPlan) {
  const exits = heard.map(({ gates }) => exitOf(gates));
  const right = heard.filter(({ said }, row) => said[exits[row]!]!.right).length;
  return { cost: meanCost(exits, costs), accuracy: right / heard.length };
}
