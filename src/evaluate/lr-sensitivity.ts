/**
 * How much a training loses where its learning rate is not the best one, from the logs of a sweep: for each size of
 * model
 *
 *   sensitivity = mean over rates of min(l, l_0) - l*
 *
 * l is the final loss, l_0 that of the first step, before anything is learnt, and l* the least of all rates; a run that
 * broke off has l_0. Rates are to be spread evenly in their logarithm, and the same for what is compared. The slope is
 * that of a line through logarithms of sensitivity and parameters. Wortsman et al., Small-scale proxies for large-scale
 * Transformer training instabilities, 2023, https://arxiv.org/abs/2309.14322
 */
import { readJsonFile } from "../data/files/jsonl.ts";
import { UserError } from "../errors.ts";
import { isObject, type JsonObject } from "../json.ts";
import { powerLaw } from "../run/probing/power-law.ts";

/** Of a run: what of its last steps is taken where there are no held-out rows. */
const LAST = 0.1;

export interface Run {
  readonly file: string;
  readonly rate: number;
  /** Of the model. */
  readonly parameters: number;
  /** Of the first step. */
  readonly first: number;
  /** At the end; undefined where it broke off. */
  readonly last: number | undefined;
  /** The largest score of attention that --probe logits saw. */
  readonly score: number | undefined;
}

const numberIn = (event: JsonObject, key: string): number | undefined => {
  const value = event[key];
  return typeof value === "number" && Number.isFinite(value) ? value : undefined;
};

/** Reads the last run of a log. Throws UserError for what is no log of a training. */
export async function readRun(file: string): Promise<Run> {
  let start: JsonObject | undefined;
  let [ok, first, held] = [false, undefined as number | undefined, undefined as number | undefined];
  let score: number | undefined;
  const losses: number[] = [];
  for await (const { value } of readJsonFile(file, { hint: "logs that train wrote with --log" })) {
    if (!isObject(value)) continue;
    if (value.event === "start") {
      [start, ok, first, held, score] = [value, false, undefined, undefined, undefined];
      losses.length = 0;
    } else if (value.event === "step") {
      const loss = numberIn(value, "loss");
      if (loss === undefined) continue;
      first ??= loss;
      losses.push(loss);
    } else if (value.event === "eval" && value.name === "loss" && value.group === undefined)
      held = numberIn(value, "value") ?? held;
    else if (value.event === "probe" && value.probe === "logits")
      score = Math.max(
        score ?? Number.NEGATIVE_INFINITY,
        numberIn(value, "max_attn_logit") ?? Number.NEGATIVE_INFINITY,
      );
    else if (value.event === "end") ok = value.ok === true;
  }
  const options = isObject(start?.options) ? start.options : {};
  const sizes = isObject(start?.parameters) ? start.parameters : {};
  const [rate, parameters] = [numberIn(options, "lr") ?? 1e-3, numberIn(sizes, "total")];
  if (start?.script !== "train" || parameters === undefined || first === undefined)
    throw new UserError(`${file} is no log of a training with steps`, "give what train wrote with --log");
  const tail = losses.slice(-Math.max(1, Math.round(LAST * losses.length)));
  const last = ok ? (held ?? tail.reduce((sum, loss) => sum + loss, 0) / tail.length) : undefined;
  return { file, rate, parameters, first, last, score: score === Number.NEGATIVE_INFINITY ? undefined : score };
}

export interface Sensitivity {
  readonly parameters: number;
  readonly sensitivity: number;
  readonly best_loss: number;
  readonly best_rate: number;
  readonly broken: number;
  readonly rates: readonly { readonly rate: number; readonly loss: number; readonly score?: number }[];
}

/** One for each size, the smallest first. Throws UserError for a size of fewer than two rates, and for a rate twice. */
export function sensitivities(runs: readonly Run[]): Sensitivity[] {
  const sizes = Map.groupBy(runs, ({ parameters }) => parameters);
  return [...sizes]
    .sort(([a], [b]) => a - b)
    .map(([parameters, own]) => {
      const twice = own.find(({ rate }, i) => own.some((other, j) => j < i && other.rate === rate));
      if (twice)
        throw new UserError(
          `${twice.file} has the rate ${twice.rate}, which another log has for ${parameters} parameters`,
          "give one log for each rate",
        );
      if (own.length < 2)
        throw new UserError(
          `${own[0]!.file} is the only log of ${parameters} parameters`,
          "a sensitivity is over several rates",
        );
      const begin = own.reduce((sum, { first }) => sum + first, 0) / own.length;
      const rates = own
        .map(({ rate, last, score }) => ({
          ...{ rate, loss: Math.min(last ?? begin, begin) },
          ...(score === undefined ? {} : { score }),
        }))
        .sort((a, b) => a.rate - b.rate);
      const best = rates.reduce((a, b) => (b.loss < a.loss ? b : a));
      return {
        ...{ parameters, best_loss: best.loss, best_rate: best.rate, rates },
        sensitivity: rates.reduce((sum, { loss }) => sum + loss - best.loss, 0) / rates.length,
        broken: own.filter(({ last }) => last === undefined).length,
      };
    });
}

/** The slope of log sensitivity over log parameters; undefined for one size. */
export const slopeOf = (sizes: readonly Sensitivity[]): number | undefined =>
  powerLaw(
    sizes.flatMap(({ parameters, sensitivity }) => (sensitivity > 0 ? [[parameters, sensitivity] as const] : [])),
  )?.slope;

/** The largest score of attention at each rate of a model of so many parameters, by a power law over the sizes. */
export function foreseenScores(sizes: readonly Sensitivity[], parameters: number): { rate: number; score: number }[] {
  const rates = [...new Set(sizes.flatMap((size) => size.rates.map(({ rate }) => rate)))].sort((a, b) => a - b);
  return rates.flatMap((rate) => {
    const points = sizes.flatMap((size) =>
      size.rates.flatMap((one) =>
        one.rate === rate && (one.score ?? 0) > 0 ? [[size.parameters, one.score!] as const] : [],
      ),
    );
    const law = powerLaw(points);
    return law ? [{ rate, score: law.factor * parameters ** law.slope }] : [];
  });
}
