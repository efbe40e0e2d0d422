/** What a stream of tasks is to the frame that opens models and writes results. */
import type { Json } from "../../model/architecture.ts";
import { balancedNorms } from "../../model/blocks/batch-norm.ts";
import type { Technique } from "../../run/training/technique.ts";
import type { ContinualMethod } from "./contract.ts";
import type { StreamBatch } from "./source.ts";
import type { StreamContext } from "./stages.ts";
import { listed } from "./tasks.ts";

/** How the model's config changes, by the method and by --norm; undefined where it stays. */
function changeOf({ options }: StreamContext, byMethod?: (json: Json) => Json): ((json: Json) => Json) | undefined {
  if (options.norm === "own") return byMethod;
  const tasks = listed(options.tasks!).length;
  const balanced = (json: Json) => balancedNorms(json, { tasks, kappa: options.norm_kappa });
  return byMethod ? (json) => balanced(byMethod(json)) : balanced;
}

/** Throws what the method throws of a config that it does not go with. */
export const techniqueOf = (
  context: StreamContext,
  { name, config, trains }: ContinualMethod,
  values: never,
): Technique<StreamBatch> => ({
  script: "adapt",
  method: name,
  changed: changeOf(context, config && ((json) => config(json, values))),
  trains,
  model: context.args[0] ?? (context.options.init === undefined ? "-" : undefined),
  data: () => Promise.reject(new Error("a stream reads its own data")),
  work: () => Promise.reject(new Error("a stream sets up its own work")),
});
