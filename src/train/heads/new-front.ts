/**
 * `train --new-front`: one more task for an `mlp-tasks`, whose rows are all of --data. It gets an input map of its own,
 * and a gate and a head where tasks have those; they alone are trained, and the trunk stays as it is to the bit.
 * "Multi-Task Multi-Agent Shared Layers are Universal Cognition of Multi-Agent Coordination", 2023.
 */
import { parseGroups } from "../../data/groups.ts";
import { UserError } from "../../errors.ts";
import type { Values } from "../../method/options.ts";
import { ofTask } from "../../model/architectures/mlp-tasks.ts";
import type { ConfigChange } from "../../run/training/config-change.ts";
import type { TRAIN } from "../options.ts";

/** What it makes of the config, and patterns of the weights that are trained. */
export interface NewFront {
  readonly changed: ConfigChange;
  readonly trains: () => Promise<string[]>;
}

/** Undefined where none is asked for. Throws UserError for options that do not go with it. */
export function newFront(options: Values<typeof TRAIN>): NewFront | undefined {
  if (!options.new_front) return undefined;
  const other = [
    options.train_only !== undefined && "--train-only",
    options.freeze !== undefined && "--freeze",
    options.heads !== "one" && `--heads ${options.heads}`,
    options.init !== undefined && "--init",
    (options.lora || options.lora_continue || options.adapter !== undefined) && "an adapter",
  ].find((flag) => flag);
  if (other)
    throw new UserError(
      `--new-front trains what a new task adds to a trained model, and ${other} says otherwise`,
      "leave one out",
    );
  const groups = parseGroups(options.data ?? []).map(({ name }) => name);
  if (groups.length > 1)
    throw new UserError(
      `--new-front adds one task, and the rows are of ${groups.length} groups (${groups.join(", ")})`,
      "give the rows of the new task alone",
    );
  let task = 0;
  return {
    changed(json, { ref }) {
      const { model_type: type, num_tasks: tasks } = json;
      if (type !== "mlp-tasks" || typeof tasks !== "number" || (json.front_size ?? undefined) === undefined)
        throw new UserError(
          `--new-front is for an mlp-tasks with an input map for each task, and ${ref} is ${type === "mlp-tasks" ? "one without" : `a ${type}`}`,
          'begin with "model_type": "mlp-tasks" and a "front_size" in config.json',
        );
      task = tasks;
      const { task_head_sizes: sizes } = json;
      const wider = Array.isArray(sizes) && sizes.length > 0 ? { task_head_sizes: [...sizes, sizes.at(-1)] } : {};
      return { ...json, ...wider, num_tasks: tasks + 1, first_task: tasks };
    },
    trains: async () => ofTask(task).map((module) => `${module}.*`),
  };
}
