/** What merge parameters name beside the models: a model by its place, checkpoints that a method opens by itself. */
import { open } from "../../checkpoint/open.ts";
import { UserError } from "../../errors.ts";
import { flagOf, type OptionSpec } from "../../method/options.ts";
import type { MergeMethod } from "../contract.ts";
import type { MergePlan } from "./merge-plan.ts";
import { counted } from "./notes.ts";

/** Values of an option in all tensors, each once; those that nobody gave are left out. */
function given({ tensors }: MergePlan, name: string, spec: OptionSpec): Set<unknown> {
  const all = tensors.flatMap(({ values, perModel }) => [values, ...perModel].map((one) => one[name]));
  return new Set(all.filter((value) => value !== undefined && value !== spec.default));
}

/** Throws UserError for the place of a model that the merge does not have. */
export function checkPlaces(plan: MergePlan, { options }: Pick<MergeMethod, "options">): void {
  // The base has a place behind them.
  const count = plan.tensors.reduce((most, { modelIndex }) => Math.max(most, ...modelIndex.map((at) => at + 1)), 0);
  for (const [name, spec] of Object.entries(options)) {
    if (spec.names !== "model") continue;
    for (const place of given(plan, name, spec))
      if (typeof place === "number" && place > count)
        throw new UserError(
          `${flagOf(name)} is ${place}, and the merge has ${counted(count, "model")}`,
          `the base does not count: ${plan.models
            .slice(0, count)
            .map((ref, i) => `${i + 1} is ${ref}`)
            .join(", ")}`,
        );
  }
}

/** Throws UserError for a checkpoint that a parameter names and that cannot be opened. Reads headers alone. */
export async function checkCheckpoints(plan: MergePlan, { options }: Pick<MergeMethod, "options">): Promise<void> {
  for (const [name, spec] of Object.entries(options)) {
    if (spec.names === undefined || spec.names === "model") continue;
    for (const ref of given(plan, name, spec)) if (typeof ref === "string") (await open(ref)).close();
  }
}
