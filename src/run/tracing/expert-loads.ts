/**
 * Which experts the tokens of rows take in every layer of a mixture, and how likely the router holds each: counts and
 * sums of probabilities by group of the data. Padding does not count. Read-back: (rows, E) a layer and batch.
 */
import { type Batch, isTokens } from "../../data/batch.ts";
import { UserError } from "../../errors.ts";
import type { Model } from "../../model/model.ts";
import type { Routed } from "../../model/routing.ts";
import { expertLoad } from "../../tensor/ops/balance.ts";
import { div, isPositive, mul, sigmoid, sumTo } from "../../tensor/ops/elementwise.ts";
import { rowSum } from "../../tensor/ops/reduce.ts";
import { softmax } from "../../tensor/ops/softmax.ts";
import type { Recorder } from "../../tensor/recorder.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { fillInputs, recordInputs } from "../batch-programs.ts";
import { Programs } from "../programs.ts";

/** A layer's sums over the tokens of a group. */
export interface GroupLoad {
  /** (E): slots that went to each expert. */
  readonly counts: Float64Array;
  /** (E): sums of its probabilities. */
  readonly likely: Float64Array;
}

/** How a layer's load compares with an even one. */
export interface LoadFigures {
  /** Share of the slots of each expert, f. */
  readonly shares: readonly number[];
  /** max E f - 1. */
  readonly violation: number;
  /** max |E f - 1| and max |E p - 1|, p the mean probabilities. */
  readonly loadGap: number;
  readonly likelyGap: number;
  /** E sum of f p: 1 where one of both is even. */
  readonly balance: number;
}

const sharesOf = (values: Float64Array): number[] => {
  const whole = values.reduce((a, b) => a + b, 0);
  return Array.from(values, (value) => (whole > 0 ? value / whole : 0));
};

/** The loads of several groups together. */
export function addedLoads(loads: readonly GroupLoad[]): GroupLoad {
  const sum = (of: "counts" | "likely") => loads.map((load) => load[of]).reduce((a, b) => a.map((x, i) => x + b[i]!));
  return { counts: sum("counts"), likely: sum("likely") };
}

export function loadFigures({ counts, likely }: GroupLoad): LoadFigures {
  const [shares, means] = [sharesOf(counts), sharesOf(likely)];
  const e = shares.length;
  const gap = (values: readonly number[]) => Math.max(...values.map((x) => Math.abs(e * x - 1)));
  return {
    shares,
    violation: e * Math.max(...shares) - 1,
    loadGap: gap(shares),
    likelyGap: gap(means),
    balance: e * shares.reduce((sum, f, i) => sum + f * means[i]!, 0),
  };
}

/**
 * How far two groups part: half the sum over experts of |share of one - share of the other|, the mean over all pairs of
 * groups. 0 where all take the same experts, 1 where no two share one; undefined for one group.
 */
export function specialisation(loads: readonly GroupLoad[]): number | undefined {
  const shares = loads.map(({ counts }) => sharesOf(counts));
  const pairs = shares.flatMap((a, i) => shares.slice(0, i).map((b) => [a, b] as const));
  if (pairs.length === 0) return undefined;
  const distance = (a: readonly number[], b: readonly number[]) =>
    a.reduce((sum, x, e) => sum + Math.abs(x - b[e]!), 0) / 2;
  return pairs.reduce((sum, [a, b]) => sum + distance(a, b), 0) / pairs.length;
}

/** Probabilities (N, E) of a router's experts. */
function probabilities(rec: Recorder, { logits, scoring }: Routed): Tensor {
  if (scoring === "softmax") return softmax(rec, logits);
  const scores = sigmoid(rec, logits);
  return div(rec, scores, rec.reshape(rowSum(rec, scores), [logits.shape[0]!, 1]));
}

/** By layer from 0, then by group. Throws UserError for a model without experts in its layers. */
export async function expertLoads(
  model: Model,
  batches: readonly Batch[],
  { ref, groups, signal, done }: { ref: string; groups: number; signal: AbortSignal; done: (rows: number) => void },
): Promise<ReadonlyMap<number, readonly GroupLoad[]>> {
  const programs = new Programs<readonly (readonly [layer: number, experts: number])[]>(model.gpu);
  const found = new Map<number, GroupLoad[]>();
  for (const batch of batches) {
    signal.throwIfAborted();
    const { program, recorded } = await programs.get(`${batch.rows}x${batch.length}`, (rec) => {
      const inputs = recordInputs(rec, batch);
      const { hidden, routed } = model.record(rec, inputs);
      if (routed.size === 0 || !isTokens(batch) || !inputs.tokenShares)
        throw new UserError(`${ref} has no experts in its layers`, "give a mixture of experts that reads text");
      const { rows, length } = batch;
      const marks = isPositive(rec, inputs.tokenShares()); // (N, 1)
      for (const [layer, own] of routed) {
        const experts = own.logits.shape[1]!;
        rec.output(`slots ${layer}`, expertLoad(rec, own.expertOf, marks, { experts, rows }));
        const likely = rec.reshape(mul(rec, probabilities(rec, own), marks), [rows, length, experts]);
        rec.output(`likely ${layer}`, sumTo(rec, likely, [rows, 1, experts]));
      }
      rec.output("hidden", hidden);
      return [...routed].map(([layer, { logits }]) => [layer, logits.shape[1]!] as const);
    });
    fillInputs(program, batch);
    program.run();
    for (const [layer, experts] of recorded) {
      const none = (): GroupLoad => ({ counts: new Float64Array(experts), likely: new Float64Array(experts) });
      const loads = found.get(layer) ?? Array.from({ length: groups }, none);
      found.set(layer, loads);
      const [slots, likely] = [await program.read(`slots ${layer}`), await program.read(`likely ${layer}`)];
      for (const [row, group] of batch.tasks.entries())
        for (let e = 0; e < experts; e++) {
          loads[group]!.counts[e]! += slots[row * experts + e]!;
          loads[group]!.likely[e]! += likely[row * experts + e]!;
        }
    }
    done(batch.rows);
  }
  programs.free();
  return found;
}
