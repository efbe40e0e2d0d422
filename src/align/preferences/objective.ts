/**
 * The objective of learning from preferences: the model runs once over both answers of every pair, and a method makes a
 * loss of their likelihoods. The mean of a step is over its pairs, or single answers.
 */
import { batchKey, placesOf, type TokenBatch } from "../../data/batch.ts";
import { IGNORED } from "../../data/rows.ts";
import { countedByRow, meanWeights, targetsOf } from "../../data/targets.ts";
import type { Bound } from "../../method/bind.ts";
import type { Model, Recorded } from "../../model/model.ts";
import { fillInputs, recordInputs, recordTargets } from "../../run/batch-programs.ts";
import type { Objective, RecordedLoss } from "../../run/training/objective.ts";
import { crossEntropy } from "../../tensor/ops/cross-entropy.ts";
import { div, isPositive, mul, neg, scale, stopGradient, sub } from "../../tensor/ops/elementwise.ts";
import { embedding } from "../../tensor/ops/embedding.ts";
import { chunkedHead, headLoss } from "../../tensor/ops/head-loss.ts";
import { dot, rowSum } from "../../tensor/ops/reduce.ts";
import type { Program } from "../../tensor/program.ts";
import type { Recorder } from "../../tensor/recorder.ts";
import { sizeOf, type Tensor } from "../../tensor/tensor.ts";
import type { PreferenceBatch } from "./batches.ts";
import type { PreferenceGiven, PreferenceMethod } from "./contract.ts";
import type { Answers, Likelihoods } from "./likelihoods.ts";
import type { ReferenceLikelihoods } from "./reference.ts";

export interface PreferenceSetup {
  readonly model: Model;
  readonly chosen: Bound<PreferenceMethod>;
  readonly pairLosses: PreferenceGiven["pairLosses"];
  readonly reference: ReferenceLikelihoods | undefined;
  /** Whether activations are computed a second time on the way back. */
  readonly recompute: boolean;
}

/** Of the tensors of a recording: logits' rows to likelihoods. */
interface Said {
  /** (2P, T) */
  readonly nll: Tensor;
  readonly recorded: Pick<Recorded, "hidden" | "head">;
  readonly width: number;
  readonly targets: Tensor;
}

/** Both halves of a tensor of 2P rows. */
function halves(rec: Recorder, x: Tensor): readonly [Tensor, Tensor] {
  const [rows, ...rest] = x.shape as [number, ...number[]];
  const both = rec.reshape(x, [2, sizeOf(x.shape) / 2]);
  const half = (i: number) => {
    const place = rec.constant(Int32Array.of(i), [1], `half ${i}`);
    return rec.reshape(embedding(rec, place, both), [rows / 2, ...rest]);
  };
  return [half(0), half(1)];
}

const SIDES = ["chosen", "rejected"] as const;

const likelihoods = (rec: Recorder, nll: Tensor, lengths: Tensor): Likelihoods => {
  const sums = neg(rec, rowSum(rec, nll));
  return { tokens: neg(rec, nll), sums, means: div(rec, sums, lengths) };
};

/** What a method is given of a batch of P items and T positions. `said` is of the answers' tokens alone. */
export function givenOf(
  rec: Recorder,
  { pairs, tokens: { length } }: PreferenceBatch,
  said: Said,
  { wholeNll, ...rest }: Pick<PreferenceGiven, "values" | "pairLosses" | "wholeNll">,
): PreferenceGiven {
  const nlls = halves(rec, said.nll);
  const sides = SIDES.map((side, i): Answers => {
    const lengths = rec.input(`${side} lengths`, [pairs]);
    let reference: Likelihoods | undefined;
    return {
      lengths,
      ...likelihoods(rec, nlls[i]!, lengths),
      get reference() {
        reference ??= likelihoods(rec, rec.input(`${side} reference`, [pairs, length]), lengths);
        return reference;
      },
      squaredNll: () => halves(rec, squaredNll(rec, said, [2 * pairs, length]))[i]!,
    };
  });
  const [chosen, rejected] = sides as [Answers, Answers];
  const nll = () => dot(rec, rec.reshape(nlls[0], [pairs * length]), rec.input("answer shares", [pairs * length]));
  return { chosen, rejected, wanted: rec.input("wanted", [pairs]), nll, wholeNll, ...rest };
}

/** -log of p^2, normalised, of every target; without gradient. */
function squaredNll(rec: Recorder, { recorded, width, targets }: Said, shape: readonly number[]): Tensor {
  const { hidden, head } = recorded;
  const nll = chunkedHead(rec, {
    ...{ hidden: stopGradient(rec, hidden), width, along: [targets] },
    head: (x) => stopGradient(rec, head(x)),
    loss: (logits, [labels]) => crossEntropy(rec, scale(rec, logits, 2), labels!),
  });
  return rec.reshape(stopGradient(rec, nll), shape);
}

/**
 * The loss of a method, with what is logged of each: of pairs the implicit rewards of both answers, their margin, the
 * share of pairs with a margin above 0, and both log-likelihoods; of single answers rewards and likelihoods of those
 * that are wanted and of the others, which `report` makes means of.
 */
export function recordPreferenceLoss(
  rec: Recorder,
  { method }: Pick<Bound<PreferenceMethod>, "method">,
  given: PreferenceGiven,
  pairs: number,
): RecordedLoss {
  const { losses, rewards, metrics = {} } = method.loss(rec, given);
  const weights = rec.input("weights", [pairs]); // 1 / items of the step
  const mean = (x: Tensor) => dot(rec, stopGradient(rec, x), weights);
  const logged: Record<string, Tensor> = { loss: mean(losses) };
  if (method.reads === "answers") {
    const one = rec.constant(Float32Array.of(1), [1], "one");
    for (const [name, which] of [
      ["wanted", given.wanted],
      ["unwanted", sub(rec, one, given.wanted)],
    ] as const) {
      logged[`reward_${name}`] = mean(mul(rec, rewards.chosen, which));
      logged[`logp_${name}`] = mean(mul(rec, given.chosen.sums, which));
    }
  } else {
    const margin = sub(rec, rewards.chosen, rewards.rejected);
    logged.reward_chosen = mean(rewards.chosen);
    logged.reward_rejected = mean(rewards.rejected);
    logged.margin = mean(margin);
    logged.accuracy = mean(isPositive(rec, margin));
    logged.logp_chosen = mean(given.chosen.sums);
    logged.logp_rejected = mean(given.rejected.sums);
  }
  const share = Object.keys(metrics).length > 0 ? rec.input("share", [1]) : undefined; // of the step's items
  for (const [name, value] of Object.entries(metrics)) logged[name] = mul(rec, stopGradient(rec, value), share!);
  return { backward: [[losses, weights]], metrics: logged };
}

/** Sums over wanted and unwanted answers, each divided by all answers, as means over each. */
function meansByWanted(metrics: Readonly<Record<string, number>>, batches: readonly PreferenceBatch[]) {
  const all = batches.flatMap(({ wanted }) => wanted);
  const shareOf = (name: string) => all.filter((is) => is === !name.endsWith("unwanted")).length / all.length;
  return Object.fromEntries(
    Object.entries(metrics).flatMap(([name, value]) => {
      if (!/_(un)?wanted$/.test(name)) return [[name, value]];
      const share = shareOf(name);
      return share === 0 ? [] : [[name, value / share]];
    }),
  );
}

/** (2P, T) -log likelihoods of tokens of answers, and the mean over all tokens of the chosen texts where asked for. */
function recordSaid(
  rec: Recorder,
  { model, chosen: { method }, recompute }: PreferenceSetup,
  batch: PreferenceBatch,
): { readonly said: Said; readonly wholeNll: () => Tensor } {
  const { tokens, pairs } = batch;
  const shape = [2 * pairs, tokens.length];
  const recorded = model.record(rec, recordInputs(rec, tokens), { recompute });
  const width = model.sizes.outputs;
  const targets = recordTargets(rec, tokens);
  const nll = rec.reshape(headLoss(rec, { ...recorded, width, targets }), shape);
  if (method.reads !== "whole pairs") {
    const wholeNll = () => {
      throw new TypeError(`${method.name} does not say that it reads whole pairs`);
    };
    return { said: { nll, recorded, width, targets }, wholeNll };
  }
  const [chosen] = halves(rec, nll);
  const count = pairs * tokens.length;
  return {
    said: { nll: mul(rec, nll, rec.input("answers", shape)), recorded, width, targets },
    wholeNll: () => dot(rec, rec.reshape(chosen, [count]), rec.input("whole shares", [count])),
  };
}

export function preferenceObjective(setup: PreferenceSetup): Objective<PreferenceBatch> {
  const { chosen, pairLosses, reference } = setup;
  const { method, values } = chosen;
  return {
    name: method.name,
    key: ({ tokens }) => batchKey(tokens),
    counted: ({ pairs }) => pairs,
    size: ({ tokens }) => tokens.rows * tokens.length,
    describe: ({ tokens }) => placesOf(tokens),
    ...(method.reads === "answers" ? { report: meansByWanted } : {}),

    record(rec, batch) {
      const { said, wholeNll } = recordSaid(rec, setup, batch);
      const given = givenOf(rec, batch, said, { values, pairLosses, wholeNll });
      return recordPreferenceLoss(rec, chosen, given, batch.pairs);
    },

    fill(program, batch, total) {
      fillInputs(program, batch.tokens);
      fillPreferences(program, batch, { total, whole: method.reads === "whole pairs" });
      const known = program.takes("chosen reference") ? reference!.of(batch) : new Float32Array();
      for (const [i, side] of SIDES.entries())
        if (program.takes(`${side} reference`))
          program.write(`${side} reference`, known.subarray((i * known.length) / 2, ((i + 1) * known.length) / 2));
    },
  };
}

/** Fills what the loss of a batch takes but the model's inputs and the reference. `total`: items of the step. */
export function fillPreferences(
  program: Program,
  { tokens, pairs, wanted }: PreferenceBatch,
  { total, whole }: { readonly total: number; readonly whole: boolean },
): void {
  const answers = targetsOf(tokens);
  const half = pairs * tokens.length;
  const write = (name: string, values: () => Float32Array) => {
    if (program.takes(name)) program.write(name, values());
  };
  const shares = (targets: Int32Array) => {
    const own = targets.subarray(0, half);
    return meanWeights(own, Math.max(1, own.filter((target) => target >= 0).length));
  };
  const all = whole ? targetsOf({ ...tokens, labels: wholeLabels(tokens) }) : answers;
  program.write("targets", all);
  const lengths = countedByRow(answers, 2 * pairs).map((n) => Math.max(1, n));
  write("weights", () => new Float32Array(pairs).fill(1 / total));
  write("share", () => Float32Array.of(pairs / total));
  write("wanted", () => Float32Array.from(wanted, Number));
  write("answers", () => Float32Array.from(answers, (target) => Number(target >= 0)));
  for (const [i, side] of SIDES.entries()) {
    write(`${side} lengths`, () => lengths.subarray(i * pairs, (i + 1) * pairs));
    write(`${side} counts`, () => countedSoFar(answers.subarray(i * half, (i + 1) * half), tokens.length));
  }
  write("answer shares", () => shares(answers));
  write("whole shares", () => shares(all));
}

/** (P, T): which token of its answer each target is, from 1; 0 where none is foreseen. */
function countedSoFar(targets: Int32Array, length: number): Float32Array {
  let count = 0;
  return Float32Array.from(targets, (target, i) => {
    if (i % length === 0) count = 0;
    return target < 0 ? 0 : ++count;
  });
}

/** Labels under which every token counts but the first of each row. */
function wholeLabels({ ids, segments, positions }: TokenBatch): Int32Array {
  return ids.map((id, i) => (segments[i]! > 0 && positions[i]! > 0 ? id : IGNORED));
}
