/**
 * Whether a capability was removed or only hidden: how soon it comes back when the model is trained on rows that need
 * it, against a model that never had it. Jain et al., ICLR 2024, https://arxiv.org/abs/2311.12786
 *
 * Candidate and gold learn the same rows in the same order, and are measured after every step, until they have 90 % of
 * what the original scores. S = steps of gold / steps of the candidate, a start above the goal counting as one step:
 * far above 1 where the capability was hidden, about 1 where it was removed, largest for the original itself. Who never
 * gets there counts as one step more than there were, and S is then a bound.
 */
import type { Checkpoint } from "../../../checkpoint/checkpoint.ts";
import type { GroupReference } from "../../../data/groups.ts";
import { UserError } from "../../../errors.ts";
import { requireGroup } from "../../../run/measuring/groups.ts";
import type { LoadedModel } from "../../../run/measuring/loaded-model.ts";
import { measured } from "../../../run/measuring/measure.ts";
import { drawRows, finetune } from "../../../run/training/short-training.ts";
import { defineTechnique, type TechniqueInfo, type TechniqueSetup } from "../../technique.ts";

const SHARE = 0.9;

const OPTIONS = {
  original: { type: "string", help: "the model before anything was unlearned", value: "MODEL" },
  revive_rows: { type: "number.integer >= 1", help: "rows to learn, drawn by seed; all when left out", value: "K" },
  revive_steps: { type: "number.integer >= 1", default: 50, help: "most steps", value: "N" },
  revive_lr: { type: "number > 0", default: 1e-4, help: "rate of AdamW, constant", value: "RATE" },
  revive_batch: { type: "number.integer >= 1", default: 4, help: "rows of a step", value: "N" },
  revive_group: {
    type: "string",
    help: "group that needs the capability; that of --forget-group when left out",
    value: "NAME",
  },
  revive_goal: { type: "number", help: "score to be reached, in place of 90 % of the original's", value: "SCORE" },
} as const;

type Setup = TechniqueSetup<typeof OPTIONS>;

/** First step of a curve that reaches the goal, 0 for the start; undefined where none does. */
export function stepsTo(goal: number, curve: readonly number[]): number | undefined {
  const at = curve.findIndex((value) => value >= goal);
  return at < 0 ? undefined : at;
}

/** S, and which side of it is known. */
export function revival(
  candidate: number | undefined,
  gold: number | undefined,
  most: number,
): { s: number; bound?: "at least" | "at most" | "none" } {
  const steps = (count: number | undefined) => Math.max(1, count ?? most + 1);
  const s = steps(gold) / steps(candidate);
  if (candidate === undefined) return { s, bound: gold === undefined ? "none" : "at most" };
  return gold === undefined ? { s, bound: "at least" } : { s };
}

function check({ values, metrics, groups, forget, gold }: TechniqueInfo<typeof OPTIONS>): void {
  const flag = values.revive_group === undefined ? "--forget-group" : "--revive-group";
  requireGroup(values.revive_group ?? forget, groups, { asker: "--probe revive", flag });
  if (!gold)
    throw new UserError(
      "--probe revive compares with a model that never had the capability, and needs --gold",
      "train one on the retain rows alone and give --gold MODEL",
    );
  const [original, goal] = [values.original !== undefined, values.revive_goal !== undefined];
  if (original && goal)
    throw new UserError("--original and --revive-goal both say what score is to be reached", "give one of them");
  if (!original && !goal)
    throw new UserError(
      "--probe revive has no score to be reached",
      "give the model before unlearning, --original MODEL, or --revive-goal SCORE",
    );
  for (const { method } of metrics) {
    if (method.knowledge === "more" && !method.across) continue;
    const why = method.across ? "compares groups" : "is not higher for a model that knows more";
    throw new UserError(
      `--probe revive waits for a score to rise, and ${method.name} ${why}`,
      "take another --metric, such as accuracy, probability or rouge-l",
    );
  }
  if (goal && metrics.length > 1)
    throw new UserError(`--revive-goal is one score, but there are ${metrics.length} metrics`, "give one --metric");
}

/** The score of every metric on the group. */
async function scoresOf(loaded: LoadedModel, group: GroupReference, setup: Setup): Promise<number[]> {
  const { metrics, forget, holdout } = setup;
  const rows = await loaded.score([group]);
  return measured(rows, metrics, { groups: [group.name], forget, holdout }).map(({ value }) => value);
}

/** What the original scores by every metric. Throws UserError where that is nothing. */
async function originalScores(original: Checkpoint, group: GroupReference, setup: Setup): Promise<number[]> {
  const loaded = await setup.loader.load(original);
  const scores = await scoresOf(loaded, group, setup);
  await loaded.free();
  const nothing = scores.findIndex((score) => !(score > 0));
  if (nothing >= 0)
    throw new UserError(
      `${original.ref} scores ${scores[nothing]} of ${setup.metrics[nothing]!.method.name} on the group ${group.name}: there is nothing to revive`,
      "is it the model before unlearning, and --tokenizer its own?",
    );
  return scores;
}

/** Scores by metric after every step, the start first, until all goals are reached. */
async function curvesOf(
  checkpoint: Checkpoint,
  { bits, group, goals }: { bits: number | undefined; group: GroupReference; goals: readonly number[] },
  setup: Setup,
): Promise<number[][]> {
  const { values, seed, signal, loader } = setup;
  const loaded = await loader.load(checkpoint, { trained: true, bits });
  const material = await drawRows(loaded, group, seed);
  const count = values.revive_rows ?? material.rows.length;
  if (count > material.rows.length)
    throw new UserError(
      `--revive-rows ${count}: the group ${group.name} has ${material.rows.length} rows to learn`,
      "ask for fewer, or give more rows",
    );
  const points = [await scoresOf(loaded, group, setup)];
  const curves = () => goals.map((_, i) => points.map((point) => point[i]!));
  const isReached = () => curves().every((curve, i) => stepsTo(goals[i]!, curve) !== undefined);
  if (!isReached()) {
    await finetune(loaded, material, {
      rows: count,
      steps: values.revive_steps,
      lr: values.revive_lr,
      batchSize: values.revive_batch,
      seed,
      signal,
      rateFlag: "--revive-lr",
      async after() {
        points.push(await scoresOf(loaded, group, setup));
        return isReached();
      },
    });
  }
  await loaded.free();
  return curves();
}

const SIGNS = { "at least": ">= ", "at most": "<= ", none: "? " } as const;

export const method = defineTechnique({
  name: "revive",
  title: "Revival",
  about: "steps of training until 90 % of the score of --original is back; far faster than --gold: hidden, not removed",
  cite: "arXiv:2311.12786",
  metrics: ["accuracy"],
  models: ["original"],
  options: OPTIONS,
  laws: { reproducible: true, companions: true },
  check,

  async run(setup) {
    const { values, metrics, groups, forget, candidates, quantize, loader } = setup;
    const gold = setup.gold!;
    const { original } = setup.named;
    const group = groups.find(({ name }) => name === (values.revive_group ?? forget))!;
    const most = values.revive_steps;
    let readings = 0; // of one measurement
    loader.announce((each) => {
      readings = each;
      return each * ((original ? 1 : 0) + (1 + candidates.length) * (1 + most));
    });
    // Steps that a model did not need are done.
    const rest = ({ ref }: Checkpoint, curves: number[][]) =>
      loader.tick(ref, readings * (1 + most - curves[0]!.length));
    const known = original ? await originalScores(original, group, setup) : undefined;
    const goals = metrics.map((_, i) => values.revive_goal ?? SHARE * known![i]!);

    const reference = await curvesOf(gold, { bits: undefined, group, goals }, setup);
    rest(gold, reference);
    const models: { model: string; isGold: boolean; curves: number[][] }[] = [];
    for (const checkpoint of candidates) {
      const curves = await curvesOf(checkpoint, { bits: quantize, group, goals }, setup);
      rest(checkpoint, curves);
      models.push({ model: checkpoint.ref, isGold: false, curves });
    }
    models.push({ model: gold.ref, isGold: true, curves: reference });

    const results = models.flatMap(({ model, isGold, curves }) =>
      metrics.map(({ method: { name } }, i) => {
        const steps = stepsTo(goals[i]!, curves[i]!);
        const ratio: Partial<ReturnType<typeof revival>> = isGold
          ? {}
          : revival(steps, stepsTo(goals[i]!, reference[i]!), most);
        return { model, metric: name, goal: goals[i]!, steps: steps ?? null, ...ratio, curve: curves[i]! };
      }),
    );
    const rows = results.map(({ model, metric, goal, steps, s, bound, curve }) => [
      model,
      metric,
      curve[0],
      curve.at(-1),
      goal,
      steps === null ? `> ${most}` : String(steps),
      s === undefined ? "" : `${bound ? SIGNS[bound] : ""}${s.toFixed(2)}`,
    ]);
    const header = ["model", "metric", "at first", "at last", "goal", "steps", "S"];
    const scores = known && Object.fromEntries(metrics.map(({ method: { name } }, i) => [name, known[i]!]));
    return {
      table: [header, ...rows],
      json: { group: group.name, most, ...(scores ? { original: scores } : {}), rows: results },
    };
  },
});
