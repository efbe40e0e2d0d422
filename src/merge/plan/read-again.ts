/** Which inputs of a merge can be read again, and what is kept of those that cannot. */
import type { Checkpoint, TensorEntry } from "../../checkpoint/checkpoint.ts";
import { isStream } from "../../checkpoint/stream/stream.ts";
import type { Adapter } from "../../gpu/device.ts";
import type { MergeMethod } from "../contract.ts";
import { layoutOf } from "../job/chunk-sizes.ts";
import type { MergePlan } from "./merge-plan.ts";
import type { OpenModels } from "./open-models.ts";

/** Which model an input's tensor is of, and whether it can be read again. */
export function originsOf(models: OpenModels) {
  const owners = new Map<TensorEntry, Checkpoint>();
  for (const checkpoint of models.opened)
    for (const entry of checkpoint.tensors.values()) owners.set(entry, checkpoint);
  return {
    nameOf: (entry: TensorEntry) => owners.get(entry)?.ref,
    readAgain: (entry: TensorEntry) => owners.get(entry)?.kind !== "stream",
  };
}

/**
 * A pipe can be read only once: keeps the tensors that a method looks at twice, or that several outputs are made from.
 */
export function retainStreams(
  models: OpenModels,
  tasks: MergePlan["tensors"],
  method: MergeMethod,
  adapter: Adapter,
): void {
  const uses = new Map<TensorEntry, number>();
  for (const task of tasks) {
    // What stays on the device between passes is read once.
    const again = method.survey || (method.passes === "many" && !layoutOf(task, "many", adapter).resident);
    for (const entry of task.base ? [task.base, ...task.models] : task.models) {
      uses.set(entry, (uses.get(entry) ?? 0) + (again ? 2 : 1));
    }
  }
  for (const checkpoint of models.opened) {
    if (!isStream(checkpoint)) continue;
    for (const [name, entry] of checkpoint.tensors) {
      if ((uses.get(entry) ?? 0) > 1) checkpoint.retain(name);
    }
  }
}
