/** What became of planted rows: losses of rows one by one, and what chance makes of the difference to a control. */
import type { Batch } from "../../data/batch.ts";
import { isTokens } from "../../data/batch.ts";
import { Random } from "../../data/random.ts";
import type { Model } from "../../model/model.ts";
import { Scorer } from "../scoring/scorer.ts";

export interface RowOutcome {
  /** Mean over the tokens that count. */
  readonly loss: number;
  /** 1 where all of them are the likeliest, else 0. */
  readonly exact: number;
}

/** Every row of batches that counts something. */
export async function rowOutcomes(model: Model, batches: readonly Batch[]): Promise<RowOutcome[]> {
  const scorer = new Scorer(model);
  const found: RowOutcome[] = [];
  for (const batch of batches) {
    const { nll, targets, argmax } = await scorer.score(batch);
    const width = isTokens(batch) ? batch.length : 1;
    for (let row = 0; row < batch.rows; row++) {
      let [sum, count, right] = [0, 0, 0];
      for (let at = row * width; at < (row + 1) * width; at++) {
        if (targets[at]! < 0) continue;
        sum += nll[at]!;
        count++;
        if (argmax[at] === targets[at]) right++;
      }
      if (count > 0) found.push({ loss: sum / count, exact: right === count ? 1 : 0 });
    }
  }
  await scorer.free();
  return found;
}

const mean = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0) / values.length;

/** A difference of means, with what a shuffle of all values makes of it. */
export interface Effect {
  readonly planted: number;
  readonly control: number;
  /** planted less control */
  readonly effect: number;
  /** 95 % of shuffles are within so much of 0, about the effect. */
  readonly low: number;
  readonly high: number;
  /** Share of shuffles whose difference is as large. */
  readonly p: number;
}

/** Compares two lists of values by shuffles that follow from the seed and a name. */
export function effectOf(
  planted: readonly number[],
  control: readonly number[],
  { shuffles, seed, name }: { readonly shuffles: number; readonly seed: number; readonly name: string },
): Effect {
  const all = [...planted, ...control];
  const effect = mean(planted) - mean(control);
  const found: number[] = [];
  for (let i = 0; i < shuffles; i++) {
    const shuffled = new Random(seed, "permutation", name, i).shuffled(all);
    found.push(mean(shuffled.slice(0, planted.length)) - mean(shuffled.slice(planted.length)));
  }
  found.sort((a, b) => a - b);
  const at = (share: number) => found[Math.min(found.length - 1, Math.max(0, Math.round(share * (found.length - 1))))]!;
  const asLarge = found.filter((one) => Math.abs(one) >= Math.abs(effect) - 1e-12).length;
  return {
    planted: mean(planted),
    control: mean(control),
    effect,
    low: effect - at(0.975),
    high: effect - at(0.025),
    p: (1 + asLarge) / (1 + shuffles),
  };
}

/** Quantiles of Student's distribution that 97.5 % are below, by degrees of freedom from 1 on. */
const STUDENT = [12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228];

/** How far two experiments disturb each other, over seeds. */
export interface Interaction {
  readonly mean: number;
  /** Of seeds. */
  readonly deviation: number;
  /** Whether 0 is outside what seeds make of the mean, with 95 %. */
  readonly isFlagged: boolean;
}

/** Of (both - second) - (first - none) for every seed; two seeds or more. */
export function interactionOf(values: readonly number[]): Interaction {
  const average = mean(values);
  const deviation = Math.sqrt(values.reduce((sum, value) => sum + (value - average) ** 2, 0) / (values.length - 1));
  const bound = ((STUDENT[values.length - 2] ?? 2) * deviation) / Math.sqrt(values.length);
  return { mean: average, deviation, isFlagged: Math.abs(average) > bound };
}
