/**
 * Which values to trust in an environment, told from unlabelled statistics of it. Environment-Adaptive Covariate
 * Selection, 2026. Of training environments e with labels and candidate sets S_j of values:
 *
 *   1. f_j   ridge regression on S_j over all rows together
 *   2. R_ej  mean squared error in e of the same fit without e
 *   3. s_e   means, deviations and correlations of all values in e, each scaled over the environments
 *   4. g     softmax regression of s_e that minimises sum_e sum_j g_j(s_e) R_ej, or the set that was best in the
 *            nearest environment
 *   5. a new environment: s from its rows alone, and the prediction of the likeliest set or of the mixture by g
 *
 * f64 on the host, without random numbers.
 */
import { type LinearFit, predicted, ridge } from "../../tensor/linear-algebra/ridge.ts";

export interface Environment {
  readonly name: string;
  readonly x: readonly (readonly number[])[];
  /** Of training environments. */
  readonly y: readonly number[];
}

export type GateKind = "softmax" | "nearest";

export interface SelectorOptions {
  /** Places of the values of each candidate. */
  readonly sets: readonly (readonly number[])[];
  readonly gate: GateKind;
  /** Of the regressions, as a share of the values' squares. */
  readonly ridge: number;
  /** Of the gate's weights. */
  readonly decay: number;
}

/** All that a new environment needs; plain numbers. */
export interface Selector {
  readonly sets: readonly (readonly number[])[];
  readonly fits: readonly LinearFit[];
  readonly gate: GateKind;
  /** Of the statistics over the training environments. */
  readonly centre: readonly number[];
  readonly spread: readonly number[];
  /** Softmax: (sets, statistics + 1), the last column added as it is. */
  readonly weights: readonly (readonly number[])[];
  /** Scaled statistics of the training environments, and R. */
  readonly known: readonly {
    readonly name: string;
    readonly at: readonly number[];
    readonly risks: readonly number[];
  }[];
}

const mean = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0) / values.length;
const deviation = (values: readonly number[]): number => {
  const middle = mean(values);
  return Math.sqrt(mean(values.map((x) => (x - middle) ** 2)));
};

/** Means, logs of deviations, and correlations of the values of rows; no labels. */
export function statistics(x: readonly (readonly number[])[]): number[] {
  const d = x[0]!.length;
  const columns = Array.from({ length: d }, (_, j) => x.map((row) => row[j]!));
  const means = columns.map(mean);
  const spreads = columns.map(deviation);
  const correlations = columns.flatMap((a, i) =>
    columns.slice(i + 1).map((b, k) => {
      const j = i + 1 + k;
      const product = mean(a.map((v, row) => (v - means[i]!) * (b[row]! - means[j]!)));
      const scale = spreads[i]! * spreads[j]!;
      return scale > 0 ? product / scale : 0;
    }),
  );
  return [...means, ...spreads.map((s) => Math.log(Math.max(s, 1e-12))), ...correlations];
}

const chosen = (set: readonly number[], row: readonly number[]) => set.map((place) => row[place]!);

const fitOf = (environments: readonly Environment[], set: readonly number[], lambda: number): LinearFit =>
  ridge(
    environments.flatMap(({ x }) => x.map((row) => chosen(set, row))),
    environments.flatMap(({ y }) => y),
    lambda,
  );

/** Mean squared error of predictions. */
export const riskOf = (found: readonly number[], y: readonly number[]): number =>
  mean(found.map((value, row) => (value - y[row]!) ** 2));

function softmax(scores: readonly number[]): number[] {
  const most = Math.max(...scores);
  const e = scores.map((s) => Math.exp(s - most));
  const sum = e.reduce((a, b) => a + b, 0);
  return e.map((x) => x / sum);
}

const scoresAt = (weights: Selector["weights"], at: readonly number[]) =>
  weights.map((row) => at.reduce((sum, s, k) => sum + row[k]! * s, row.at(-1)!));

const STEPS = 2000;
const RATE = 0.5;

/** Gradient descent from zeros on the mean over environments of sum_j g_j R_j / mean R, and the decay. */
function softmaxGate(known: Selector["known"], sets: number, decay: number): number[][] {
  const width = known[0]!.at.length + 1;
  const weights = Array.from({ length: sets }, () => Array<number>(width).fill(0));
  const size = mean(known.flatMap(({ risks }) => risks)) || 1;
  for (let step = 0; step < STEPS; step++) {
    const slopes = weights.map((row) => row.map((w, k) => (k < width - 1 ? decay * w : 0)));
    for (const { at, risks } of known) {
      const shares = softmax(scoresAt(weights, at));
      const expected = shares.reduce((sum, g, j) => sum + g * risks[j]!, 0);
      for (const [j, g] of shares.entries()) {
        const slope = (g * (risks[j]! - expected)) / size / known.length;
        for (let k = 0; k < width; k++) slopes[j]![k]! += slope * (at[k] ?? 1);
      }
    }
    for (const [j, row] of weights.entries()) for (let k = 0; k < width; k++) row[k]! -= RATE * slopes[j]![k]!;
  }
  return weights;
}

/** Learns fits and gate. Throws RangeError for fewer than two environments. */
export function learnSelector(environments: readonly Environment[], options: SelectorOptions): Selector {
  const { sets, gate, ridge: lambda, decay } = options;
  if (environments.length < 2) throw new RangeError("a selector learns from two environments or more");
  const raw = environments.map(({ x }) => statistics(x));
  const centre = raw[0]!.map((_, k) => mean(raw.map((s) => s[k]!)));
  const spread = raw[0]!.map((_, k) => deviation(raw.map((s) => s[k]!)) || 1);
  const known = environments.map((environment, e) => {
    const others = environments.filter((other) => other !== environment);
    const risks = sets.map((set) => {
      const fit = fitOf(others, set, lambda);
      const found = environment.x.map((row) => predicted(fit, chosen(set, row)));
      return riskOf(found, environment.y);
    });
    return { name: environment.name, at: raw[e]!.map((s, k) => (s - centre[k]!) / spread[k]!), risks };
  });
  return {
    ...{ sets, gate, centre, spread, known },
    fits: sets.map((set) => fitOf(environments, set, lambda)),
    weights: gate === "softmax" ? softmaxGate(known, sets.length, decay) : [],
  };
}

/** What each candidate weighs in an environment, told from its rows alone. */
export function weightsIn({ sets, gate, centre, spread, weights, known }: Selector, x: Environment["x"]): number[] {
  const at = statistics(x).map((s, k) => (s - centre[k]!) / spread[k]!);
  if (gate === "softmax") return softmax(scoresAt(weights, at));
  const far = known.map((one) => one.at.reduce((sum, s, k) => sum + (s - at[k]!) ** 2, 0));
  const { risks } = known[far.indexOf(Math.min(...far))]!;
  const best = risks.indexOf(Math.min(...risks));
  return sets.map((_, j) => (j === best ? 1 : 0));
}

/** Predictions for rows, of each candidate: (sets, rows). */
export const predictions = ({ sets, fits }: Selector, x: Environment["x"]): number[][] =>
  sets.map((set, j) => x.map((row) => predicted(fits[j]!, chosen(set, row))));

/** The mixture of predictions by weights. */
export const mixed = (weights: readonly number[], by: readonly (readonly number[])[]): number[] =>
  (by[0] ?? []).map((_, row) => weights.reduce((sum, w, j) => sum + w * by[j]![row]!, 0));
