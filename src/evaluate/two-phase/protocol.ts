/**
 * The two-phase protocol: settings are chosen on one stream of tasks, and what is reported is how the chosen ones do on
 * another, unseen one. Cha and Cho 2024, https://arxiv.org/abs/2403.09066
 */
import type { Json } from "../../json.ts";
import type { Run } from "./runs.ts";

export interface Scored {
  readonly run: Run;
  readonly value: number;
}

/** A method's runs that differ by seed and stream alone. */
interface Trial {
  readonly configuration: Run["configuration"];
  readonly key: string;
  readonly scored: readonly Scored[];
  readonly mean: number;
}

export interface Line {
  readonly method: string;
  /** Options of the chosen configuration that differ among those of the method. */
  readonly chosen: Readonly<Record<string, Json>>;
  readonly configurations: number;
  /** On the stream of the first phase: the mean that made the choice, and the rank by it. */
  readonly tuned: { readonly mean: number; readonly runs: number; readonly seconds: number; readonly rank: number };
  /** On the other stream; left out where the chosen configuration was not run there. */
  readonly reported?: {
    readonly mean: number;
    /** Standard deviation; left out for one run. */
    readonly sd?: number;
    readonly runs: number;
    readonly seconds: number;
    readonly rank: number;
  };
  /** Runs on the other stream with other configurations, at which nobody looked. */
  readonly ignored: number;
}

const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;
const total = (scored: readonly Scored[]): number => scored.reduce((sum, { run }) => sum + run.seconds, 0);

/** JSON with the keys in order, so that equal configurations are equal texts. */
const keyOf = (configuration: Run["configuration"]): string =>
  JSON.stringify(Object.entries(configuration).sort(([a], [b]) => (a < b ? -1 : 1)));

function trialsOf(scored: readonly Scored[]): Trial[] {
  const groups = Map.groupBy(scored, ({ run }) => keyOf(run.configuration));
  return [...groups].map(([key, own]) => ({
    key,
    configuration: own[0]!.run.configuration,
    scored: own,
    mean: mean(own.map(({ value }) => value)),
  }));
}

/** Options in which the configurations of a method differ. */
function varying(trials: readonly Trial[]): string[] {
  const names = new Set(trials.flatMap(({ configuration }) => Object.keys(configuration)));
  return [...names].filter(
    (name) => new Set(trials.map(({ configuration }) => JSON.stringify(configuration[name]))).size > 1,
  );
}

/** Ranks by position: 1 is best; equal values share the better rank. */
const rankOf = (value: number, all: readonly number[], sign: 1 | -1): number =>
  1 + all.filter((other) => sign * other > sign * value).length;

/** Chooses each method's configuration by the runs of one stream, and looks at that alone on the other. */
export function twoPhases(tune: readonly Scored[], report: readonly Scored[], better: "higher" | "lower"): Line[] {
  const sign = better === "higher" ? 1 : -1;
  const methods = [...new Set(tune.map(({ run }) => run.method))].sort();
  const chosen = methods.map((method) => {
    const trials = trialsOf(tune.filter(({ run }) => run.method === method));
    const best = trials.reduce((a, b) => (sign * b.mean > sign * a.mean ? b : a));
    const there = report.filter(({ run }) => run.method === method);
    const own = there.filter(({ run }) => keyOf(run.configuration) === best.key);
    return { method, trials, best, own, ignored: there.length - own.length };
  });
  const meanOf = (scored: readonly Scored[]) => mean(scored.map(({ value }) => value));
  const tunedMeans = chosen.map(({ best }) => best.mean);
  const reportedMeans = chosen.flatMap(({ own }) => (own.length > 0 ? [meanOf(own)] : []));
  return chosen.map(({ method, trials, best, own, ignored }) => {
    const all = trials.flatMap(({ scored }) => scored);
    const middle = own.length > 0 ? meanOf(own) : 0;
    const squares = own.reduce((sum, { value }) => sum + (value - middle) ** 2, 0);
    return {
      method,
      chosen: Object.fromEntries(varying(trials).map((name) => [name, best.configuration[name] ?? null])),
      configurations: trials.length,
      tuned: {
        mean: best.mean,
        runs: all.length,
        seconds: total(all),
        rank: rankOf(best.mean, tunedMeans, sign),
      },
      ...(own.length === 0
        ? {}
        : {
            reported: {
              mean: middle,
              ...(own.length > 1 ? { sd: Math.sqrt(squares / (own.length - 1)) } : {}),
              runs: own.length,
              seconds: total(own),
              rank: rankOf(middle, reportedMeans, sign),
            },
          }),
      ignored,
    };
  });
}

/** Methods whose configurations were not all tried on the same seeds and streams: their means do not compare. */
export function uneven(tune: readonly Scored[]): string[] {
  const byMethod = Map.groupBy(tune, ({ run }) => run.method);
  return [...byMethod].flatMap(([method, scored]) => {
    const seen = trialsOf(scored).map((trial) =>
      trial.scored
        .map(({ run }) => `${run.stream} ${run.seed}`)
        .sort()
        .join(),
    );
    return new Set(seen).size > 1 ? [method] : [];
  });
}
