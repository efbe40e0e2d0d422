/**
 * Whether a capability was removed or only hidden: how soon it comes back when the model is trained on rows that need it, against a
 * model that never had it. Jain et al., ICLR 2024, https://arxiv.org/abs/2311.12786
 *
 * Candidate and gold learn the same rows in the same order, and are measured after every step, until they have 90 % of what the
 * original scores. S = steps of gold / steps of the candidate, a start above the goal counting as one step: far above 1 where the
 * capability was hidden, about 1 where it was removed, largest for the original itself. Who never gets there counts as one step more
 * than there were, and S is then a bound.
 */
import type { Checkpoint } from "../../../checkpoint/checkpoint.ts";
import { UserError } from "../../../errors.ts";
import { drawRows, finetune } from "../../../run/training/short-training.ts";
import { measured, type Specimen } from "../../loaded-model.ts";
import { cell, defineTechnique, requireGroupNamed } from "../../technique.ts";

const SHARE = 0.9;

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

export const method = defineTechnique({
  name: "revive",
  title: "Revival",
  about:
    "steps of training until a model has 90 % of the score of --original, against those of --gold: S far above 1 hidden, 1 removed",
  cite: "arXiv:2311.12786",
  metrics: ["accuracy"],
  usesOriginal: true,
  options: {
    revive_rows: { type: "number.integer >= 1", help: "rows to learn, drawn by seed; all when left out", value: "K" },
    revive_steps: { type: "number.integer >= 1", default: 50, help: "most steps", value: "N" },
    revive_lr: { type: "number > 0", default: 1e-4, help: "rate of AdamW, constant", value: "RATE" },
    revive_batch: { type: "number.integer >= 1", default: 4, help: "rows of a step", value: "N" },
    revive_group: {
      type: "string",
      help: "group that needs the capability; that of --forget when left out",
      value: "NAME",
    },
    revive_goal: { type: "number", help: "score to be reached, in place of 90 % of the original's", value: "SCORE" },
  },
  check({ values, metrics, groups, forget, gold, original }) {
    const by = values.revive_group === undefined ? "--forget" : "--revive-group";
    requireGroupNamed(values.revive_group ?? forget, groups, "--probe revive", by);
    if (!gold)
      throw new UserError(
        "--probe revive compares with a model that never had the capability, but there is none",
        "train one on the retain rows alone and give --gold MODEL",
      );
    if (original === (values.revive_goal !== undefined))
      throw new UserError(
        original
          ? "--original and --revive-goal both say what score is to be reached"
          : "--probe revive has no score to be reached",
        original ? "give one of them" : "give the model before unlearning, --original MODEL, or --revive-goal SCORE",
      );
    for (const { name, knowledge, across } of metrics) {
      if (knowledge === "more" && !across) continue;
      throw new UserError(
        `--probe revive waits for a score to rise, and ${name} ${across ? "compares groups" : "is not higher for a model that knows more"}`,
        "take another --metric, such as accuracy, probability or rouge-l",
      );
    }
    if (values.revive_goal !== undefined && metrics.length > 1)
      throw new UserError(`--revive-goal is one score, but there are ${metrics.length} metrics`, "give one --metric");
  },

  async run({
    values,
    metrics,
    groups,
    forget,
    holdout,
    minK,
    candidates,
    gold,
    original,
    quantize,
    seed,
    signal,
    lab,
  }) {
    const group = groups.find(({ name }) => name === (values.revive_group ?? forget))!;
    const most = values.revive_steps;
    const context = { groups: [group.name], forget, holdout, minK };
    const scores = async (specimen: Specimen) =>
      measured(await specimen.score([group]), metrics, context).map(({ value }) => value);

    const known: number[] = [];
    if (original) {
      const specimen = await lab.load(original);
      known.push(...(await scores(specimen)));
      await specimen.free();
    }
    const nothing = metrics.findIndex((_, i) => original && !(known[i]! > 0));
    if (nothing >= 0)
      throw new UserError(
        `${original!.ref} scores ${known[nothing]} of ${metrics[nothing]!.name} on the group ${group.name}: there is nothing to revive`,
        "is it the model before unlearning, and --tokenizer its own?",
      );
    const goals = metrics.map((_, i) => values.revive_goal ?? SHARE * known[i]!);

    /** Scores after every step, until all goals are reached; the start first. */
    const curveOf = async (checkpoint: Checkpoint, bits?: number) => {
      const specimen = await lab.load(checkpoint, { trained: true, bits });
      const material = await drawRows(specimen, group, seed);
      const count = values.revive_rows ?? material.rows.length;
      if (count > material.rows.length)
        throw new UserError(
          `--revive-rows ${count}: the group ${group.name} has ${material.rows.length} rows to learn`,
          "ask for fewer, or give more rows",
        );
      const curve = [await scores(specimen)];
      const reached = () =>
        goals.every(
          (goal, i) =>
            stepsTo(
              goal,
              curve.map((point) => point[i]!),
            ) !== undefined,
        );
      if (!reached()) {
        await finetune(specimen, material, {
          rows: count,
          steps: most,
          lr: values.revive_lr,
          batchSize: values.revive_batch,
          seed,
          signal,
          rateFlag: "--revive-lr",
          async after() {
            curve.push(await scores(specimen));
            return reached();
          },
        });
      }
      await specimen.free();
      return metrics.map((_, i) => curve.map((point) => point[i]!));
    };

    const reference = await curveOf(gold!);
    const models: { model: string; gold: boolean; curves: number[][] }[] = [];
    for (const checkpoint of candidates)
      models.push({ model: checkpoint.ref, gold: false, curves: await curveOf(checkpoint, quantize) });
    models.push({ model: gold!.ref, gold: true, curves: reference });

    const results = models.flatMap(({ model, gold: isGold, curves }) =>
      metrics.map(({ name }, i) => {
        const steps = stepsTo(goals[i]!, curves[i]!);
        const ratio: Partial<ReturnType<typeof revival>> = isGold
          ? {}
          : revival(steps, stepsTo(goals[i]!, reference[i]!), most);
        return { model, metric: name, goal: goals[i]!, steps: steps ?? null, ...ratio, curve: curves[i]! };
      }),
    );
    const SIGNS = { "at least": ">= ", "at most": "<= ", none: "? " } as const;
    const rows = results.map(({ model, metric, goal, steps, s, bound, curve }) => [
      model,
      metric,
      cell(curve[0]),
      cell(curve.at(-1)),
      cell(goal),
      steps === null ? `> ${most}` : String(steps),
      s === undefined ? "" : `${bound ? SIGNS[bound] : ""}${s.toFixed(2)}`,
    ]);
    const header = ["model", "metric", "at first", "at last", "goal", "steps", "S"];
    const originals = original ? { original: Object.fromEntries(metrics.map(({ name }, i) => [name, known[i]!])) } : {};
    return { table: [header, ...rows], json: { group: group.name, most, ...originals, rows: results } };
  },
});
