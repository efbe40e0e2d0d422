/**
 * An adapter that draws which of its parts a step uses: of others neither a weight nor a moment of the optimizer moves.
 * The draw is of the seed and the step, and a training that goes on draws what it would have.
 */
import type { Model } from "../../../model/model.ts";
import type { UpdateRule } from "../update-rule.ts";
import { UnitScales } from "./unit-scales.ts";

/** The rule of a model whose adapter draws; none of any other. */
export function adapterDraws(model: Model, steps: number, seed: number): UpdateRule[] {
  const draws = model.adapter?.draws;
  if (!draws) return [];
  const { trained } = draws.at({ step: 1, steps, seed });
  const scales = new UnitScales(model.gpu, trained, { name: "draws", apply: "both", seed });
  return [
    {
      name: "draws",
      get bytes() {
        return scales.bytes;
      },
      ahead(step) {
        const { written, trained } = draws.at({ step, steps, seed });
        for (const [parameter, values] of written) parameter.write(values);
        for (const [i, { factors }] of trained.entries()) scales.set(i, factors);
      },
      before: () => scales.before(),
      after: (step) => scales.after(step),
      free: () => scales.free(),
    },
  ];
}
