/**
 * An adapter of which one part is trained at a time: of what is not of the stage neither a weight nor a moment of the
 * optimizer moves.
 */
import { Random } from "../../../data/random.ts";
import type { Model } from "../../../model/model.ts";
import type { UpdateRule } from "../update-rule.ts";
import { UnitScales } from "./unit-scales.ts";

/** The stage of a step, from 1; beyond the last it is the last. */
export type StageOf = (step: number) => number;

/** Stages of equal numbers of steps. */
export const equalStages =
  (count: number, steps: number): StageOf =>
  (step) =>
    1 + Math.floor(((step - 1) * count) / Math.max(1, steps));

/** The rule of a model whose adapter is trained in stages; none of any other. */
export function adapterStages(model: Model, stageOf: StageOf | undefined, steps: number, seed: number): UpdateRule[] {
  const stages = model.adapter?.stages;
  if (!stages) return [];
  const { count, drawn } = stages;
  const chosen: StageOf = drawn
    ? (step) => 1 + new Random(seed, "stage of a step", step).below(count)
    : (stageOf ?? equalStages(count, steps));
  const scales = new UnitScales(model.gpu, stages.of(1), { name: "stages", apply: "both", seed });
  stages.current = 1;
  return [
    {
      name: "stages",
      get bytes() {
        return scales.bytes;
      },
      ahead(step) {
        const stage = Math.min(count, Math.max(1, chosen(step)));
        if (stage !== stages.current) for (const [i, { factors }] of stages.of(stage).entries()) scales.set(i, factors);
        stages.current = stage;
      },
      before: () => scales.before(),
      after: (step) => scales.after(step),
      free: () => scales.free(),
    },
  ];
}
