/**
 * Whether tasks gain from being learnt together: a model that was trained on all of them against one model per task, on
 * that task's rows. A gain above 0 is synergy, below 0 conflict: such tasks are better trained apart, by groups, and
 * merged within the groups. Zheng et al., ACL 2025, https://arxiv.org/abs/2502.11223
 *
 * Every model is compared on every group: on its own task that is the gain, on others what it had not learnt. The gain
 * counts in the direction that is better, also for losses.
 */
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

function check({ metrics, gold }: TechniqueInfo<typeof OPTIONS>): void {
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

/** The scores of a model, by group and metric. */
async function scoresOf(loaded: LoadedModel, { groups, metrics, forget, holdout }: Setup) {
  const names = groups.map(({ name }) => name);
  const found = measured(await loaded.score(groups), metrics, { groups: names, forget, holdout });
  return names.map((name) =>
    metrics.map(
      ({ method }) =>
        found.find(({ metric, group }) => metric === method && (group === name || names.length === 1))!.value,
    ),
  );
}

interface Row {
  readonly model: string;
  readonly group: string;
  readonly metric: string;
  readonly alone: number;
  readonly together: number;
  readonly gain: number;
  readonly verdict: "synergy" | "conflict" | "even";
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
    loader.announce((each) => each * (1 + candidates.length));
    const joint = await loader.load(setup.named.joint!);
    const together = await scoresOf(joint, setup);
    await joint.free();
    const rows: Row[] = [];
    for (const checkpoint of candidates) {
      const loaded = await loader.load(checkpoint, { bits: quantize });
      const alone = await scoresOf(loaded, setup);
      await loaded.free();
      for (const [g, { name: group }] of groups.entries())
        for (const [m, { method }] of metrics.entries()) {
          const numbers = { alone: alone[g]![m]!, together: together[g]![m]! };
          const gain = gainOf(numbers.alone, numbers.together, method.better);
          rows.push({ model: checkpoint.ref, group, metric: method.name, ...numbers, gain, verdict: verdictOf(gain) });
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
