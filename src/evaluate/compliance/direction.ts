/** Where in a model two cues are told apart, and what its answers are without the direction that tells them apart. */
import type { Sequence } from "../../data/sequences.ts";
import type { LoadedModel } from "../../run/measuring/loaded-model.ts";
import { logisticRegression } from "../../run/probing/logistic.ts";
import { statesAt } from "../../run/probing/states-at.ts";
import { lossesWithout } from "../../run/probing/without-direction.ts";
import type { Request } from "./requests.ts";

export interface CueDirection {
  /** The first of the layers in which the cues are told apart best. */
  readonly layer: string;
  /** Share of the requests that the direction was not found on, whose cue a linear classifier reads there. */
  readonly read: number;
  /** Mean probability of the answers of rows under the first cue less that under the second, of the whole model. */
  readonly gap?: number;
  /** The same without the direction. */
  readonly gap_without?: number;
}

/** Mean of rows (C). */
function meanOf(rows: readonly Float32Array[]): Float64Array {
  const sum = new Float64Array(rows[0]!.length);
  for (const row of rows) for (const [j, x] of row.entries()) sum[j]! += x / rows.length;
  return sum;
}

/** The difference of both means, of length 1; zeros where they are the same. */
function directionOf(a: readonly Float32Array[], b: readonly Float32Array[]): Float32Array {
  const [first, second] = [meanOf(a), meanOf(b)];
  const difference = first.map((x, j) => x - second[j]!);
  const length = Math.sqrt(difference.reduce((sum, x) => sum + x * x, 0));
  return Float32Array.from(difference, (x) => (length > 0 ? x / length : 0));
}

/** Whether a request is one that directions are found on: every other one. */
const isLearnt = (i: number): boolean => i % 2 === 0;

/** Probabilities of whole answers, from sums of losses. */
const meanProbability = (losses: readonly number[]): number =>
  losses.reduce((sum, loss) => sum + Math.exp(-loss), 0) / losses.length;

/**
 * Reads the state of every layer before the answer, under both cues; `rows` at once. Of two requests or more: half of
 * them are learnt from, the others tested on.
 */
export async function cueDirection(
  { model, tools }: LoadedModel,
  requests: readonly Request[],
  { rows, signal }: { rows: number; signal: AbortSignal },
): Promise<CueDirection> {
  const pad = tools!.tokenizer?.pad ?? 0;
  const prompts = (cue: "trained" | "untrained"): Sequence[] =>
    requests.map(({ [cue]: { ids }, place }) => {
      const own = Int32Array.from(ids);
      // Nothing of a prompt counts; its last state is read, as if the next token counted.
      const labels = Int32Array.from([...own.map(() => -100), 0]);
      return { ids: Int32Array.from([...own, pad]), labels, group: 0, place };
    });
  const states = await statesAt(model, [...prompts("trained"), ...prompts("untrained")], { rows, pad, signal });
  const n = requests.length;
  const found = states.layers.map(({ layer, rows: own }) => {
    const of = (cue: 0 | 1, learnt: boolean) =>
      own.slice(cue * n, (cue + 1) * n).filter((_, i) => isLearnt(i) === learnt);
    const [a, b] = [of(0, true), of(1, true)];
    const predict = logisticRegression([...a, ...b], [...a.map(() => 0), ...b.map(() => 1)], 2);
    const right = ([0, 1] as const).map((cue) => of(cue, false).filter((row) => predict(row) === cue).length);
    return { layer, read: (right[0]! + right[1]!) / (2 * of(0, false).length), direction: directionOf(a, b) };
  });
  const best = found.reduce((a, b) => (b.read > a.read ? b : a));
  const { layer, read, direction } = best;
  const answered = requests.flatMap(({ trained, untrained }) =>
    trained.sequence && untrained.sequence ? [[trained.sequence, untrained.sequence]] : [],
  );
  if (answered.length === 0) return { layer, read };
  const gapBy = async (axis: Float32Array) => {
    const of = async (cue: 0 | 1) =>
      meanProbability(
        await lossesWithout(
          model,
          answered.map((pair) => pair[cue]!),
          { layer, direction: axis, rows, pad, signal },
        ),
      );
    return (await of(0)) - (await of(1));
  };
  return { layer, read, gap: await gapBy(new Float32Array(direction.length)), gap_without: await gapBy(direction) };
}
