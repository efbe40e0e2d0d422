/**
 * Whether tasks gain from being learnt together: a model that was trained on all of them against one model per task, on
 * that task's rows. A gain above 0 is synergy, below 0 conflict: such tasks are better trained apart, by groups, and
 * merged within the groups. Zheng et al., ACL 2025, https://arxiv.org/abs/2502.11223
 *
 * Models stand in the order of the groups. The gain counts in the direction that is better, also for losses.
 */
import type { GroupReference } from "../../../data/groups.ts";
import { UserError } from "../../../errors.ts";
import type { Better } from "../../../run/evaluation/row.ts";
import type { LoadedModel } from "../../../run/measuring/loaded-model.ts";
import { measured } from "../../../run/measuring/measure.ts";
import { defineTechnique, type TechniqueInfo, type TechniqueSetup } from "../../technique.ts";

const OPTIONS = {
  joint: { type: "string", required: true, help: "the model that was trained on all groups together", value: "MODEL" },
} as const;

type Setup = TechniqueSetup<typeof OPTIONS>;

/** By how much the joint model is better than the single one. */
export const gainOf = (single: number, joint: number, better: Better): number =>
  better === "lower" ? single - joint : joint - single;

export const verdictOf = (gain: number): "synergy" | "conflict" | "even" =>
  gain > 0 ? "synergy" : gain < 0 ? "conflict" : "even";

function check({ groups, models, metrics, gold }: TechniqueInfo<typeof OPTIONS>): void {
  if (models !== groups.length)
    throw new UserError(
      `--probe conflict_synergy compares one model per group, in their order; models: ${models}, groups: ${groups.length} (${groups.join(", ")})`,
      "name a model and its rows for each task: ingot evaluate a/ b/ --data a=a.jsonl --data b=b.jsonl --joint all/",
    );
  if (gold)
    throw new UserError("--probe conflict_synergy compares with --joint and takes no --gold", "leave out --gold");
  for (const { method } of metrics) {
    if ((method.better === "higher" || method.better === "lower") && !method.across) continue;
    throw new UserError(
      `--probe conflict_synergy needs scores of which one is better, and ${method.name} is none of a single group`,
      "take another --metric, such as accuracy or loss",
    );
  }
}

/** The scores of a model on one group, metric by metric. */
async function scoresOn(loaded: LoadedModel, group: GroupReference, { metrics, forget, holdout }: Setup) {
  const rows = await loaded.score([group]);
  return measured(rows, metrics, { groups: [group.name], forget, holdout }).map(({ value }) => value);
}

export const method = defineTechnique({
  name: "conflict_synergy",
  title: "Conflict and synergy",
  about: "per task, what a model of all tasks (--joint) gains or loses against the task's own model",
  cite: "arXiv:2502.11223",
  metrics: ["accuracy"],
  models: ["joint"],
  options: OPTIONS,
  laws: { reproducible: true, companions: true },
  check,

  async run(setup) {
    const { candidates, groups, metrics, quantize, loader } = setup;
    const joint = await loader.load(setup.named.joint!);
    const together: number[][] = [];
    for (const group of groups) together.push(await scoresOn(joint, group, setup));
    await joint.free();
    const rows: {
      model: string;
      group: string;
      metric: string;
      alone: number;
      together: number;
      gain: number;
      verdict: string;
    }[] = [];
    for (const [i, checkpoint] of candidates.entries()) {
      const loaded = await loader.load(checkpoint, { bits: quantize });
      const alone = await scoresOn(loaded, groups[i]!, setup);
      await loaded.free();
      for (const [m, { method }] of metrics.entries()) {
        const gain = gainOf(alone[m]!, together[i]![m]!, method.better);
        const numbers = { alone: alone[m]!, together: together[i]![m]!, gain };
        const group = groups[i]!.name;
        rows.push({ model: checkpoint.ref, group, metric: method.name, ...numbers, verdict: verdictOf(gain) });
      }
    }
    return {
      table: [
        ["model", "group", "metric", "alone", "together", "gain", ""],
        ...rows.map(({ model, group, metric, alone, together, gain, verdict }) => [
          ...[model, group, metric, alone, together, gain, verdict],
        ]),
      ],
      json: { joint: setup.named.joint!.ref, rows },
    };
  },
});
