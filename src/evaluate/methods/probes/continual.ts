/**
 * What a stream of updates has gained and what it has kept: knowledge accumulation is the mean score over the groups of
 * the updates, retention the mean over groups that no update has, and their geometric mean is the balance of both.
 * Roth et al., NeurIPS 2024, https://arxiv.org/abs/2408.14471
 *
 * Models given in the order of the stream (or averages over it, by `merge --method ema`) stand below each other, so the
 * columns show what every update brought and cost.
 */
import { UserError } from "../../../errors.ts";
import { nearest } from "../../../method/nearest.ts";
import { accumulation } from "../../../run/continual/matrix.ts";
import type { LoadedModel } from "../../../run/measuring/loaded-model.ts";
import { measured } from "../../../run/measuring/measure.ts";
import { defineTechnique, type TechniqueInfo, type TechniqueSetup } from "../../technique.ts";

const OPTIONS = {
  continual_held: {
    type: "string[]",
    required: true,
    help: "a group that no update has: what was known before; may be given several times",
    value: "NAME",
  },
} as const;

type Setup = TechniqueSetup<typeof OPTIONS>;

/** Accumulation, retention and their geometric mean from the scores of groups by name. */
export function continualScores(scores: ReadonlyMap<string, number>, held: readonly string[]) {
  const of = (isHeld: boolean) =>
    [...scores].flatMap(([name, score]) => (held.includes(name) === isHeld ? [score] : []));
  return accumulation(of(false), of(true));
}

function check({ values, groups, metrics }: TechniqueInfo<typeof OPTIONS>): void {
  for (const name of values.continual_held) {
    if (groups.includes(name)) continue;
    const near = nearest(name, groups) ?? groups[0];
    throw new UserError(
      `--continual-held ${name}: no group has this name; the data has ${groups.join(", ")}`,
      near === undefined ? "name groups: --data NAME=rows.jsonl" : `did you mean ${near}?`,
    );
  }
  if (groups.every((name) => values.continual_held.includes(name)))
    throw new UserError(
      "--probe continual has no group of an update: --continual-held names all",
      "add the rows of the updates: --data NAME=rows.jsonl",
    );
  for (const { method } of metrics) {
    if (method.better === "higher" && method.range[0] >= 0 && !method.across) continue;
    throw new UserError(
      `--probe continual takes means of scores from 0, of which more is better, and ${method.name} is none`,
      "take another --metric, such as accuracy, probability or rouge-l",
    );
  }
}

/** What a model scores, metric by metric. */
async function scoresOf(loaded: LoadedModel, { groups, metrics, forget, holdout, values }: Setup) {
  const rows = await loaded.score(groups);
  const names = groups.map(({ name }) => name);
  const found = measured(rows, metrics, { groups: names, forget, holdout });
  return metrics.map(({ method }) => {
    const own = found.filter(({ metric, group }) => metric === method && names.includes(group));
    const scores = new Map(own.map(({ group, value }) => [group, value]));
    return {
      metric: method.name,
      ...continualScores(scores, values.continual_held),
      groups: Object.fromEntries(scores),
    };
  });
}

export const method = defineTechnique({
  name: "continual",
  title: "Continual pretraining",
  about: "what a stream of updates has gained (groups of the updates) and kept (groups of --continual-held)",
  cite: "arXiv:2408.14471",
  metrics: ["accuracy"],
  options: OPTIONS,
  laws: { reproducible: true, companions: true },
  check,

  async run(setup) {
    const { candidates, gold, quantize, loader } = setup;
    loader.announce((each) => each * (candidates.length + (gold ? 1 : 0)));
    const rows: ({ model: string } & Awaited<ReturnType<typeof scoresOf>>[number])[] = [];
    for (const checkpoint of gold ? [...candidates, gold] : candidates) {
      const loaded = await loader.load(checkpoint, { bits: checkpoint === gold ? undefined : quantize });
      rows.push(...(await scoresOf(loaded, setup)).map((found) => ({ model: checkpoint.ref, ...found })));
      await loaded.free();
    }
    const names = setup.groups.map(({ name }) => name);
    return {
      table: [
        ["model", "metric", "accumulation", "retention", "balance", ...names],
        ...rows.map(({ model, metric, accumulation, retention, balance, groups }) => [
          model,
          metric,
          accumulation,
          retention,
          balance,
          ...names.map((name) => groups[name]),
        ]),
      ],
      json: { held: setup.values.continual_held, rows },
    };
  },
});
