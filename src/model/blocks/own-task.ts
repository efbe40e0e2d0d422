/** Layers that each task has of its own, in a network whose rows are of several tasks. */
import { UserError } from "../../errors.ts";
import { splitColumns } from "../../tensor/ops/columns.ts";
import { add, mul } from "../../tensor/ops/elementwise.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import type { Inputs, Net } from "../architecture.ts";

/**
 * What each row's own task makes of it, as a choice between the tasks that the groups of the data are: (B, C). Throws
 * UserError where nothing says of which a row is.
 */
export function ofOwnTask(net: Net, tasks: readonly number[], inputs: Inputs, of: (task: number) => Tensor): Tensor {
  const marks = inputs.tasks?.(tasks.length); // (B, T)
  if (marks) {
    const own = splitColumns(net.rec, marks, Array(tasks.length).fill(1));
    return tasks.map((task, i) => mul(net.rec, of(task), own[i]!)).reduce((a, b) => add(net.rec, a, b));
  }
  const [only] = tasks;
  if (only !== undefined && tasks.length === 1) return of(only);
  throw new UserError(
    `this model tells ${tasks.length} tasks apart, and nothing says here of which task a row is`,
    "give the rows of all tasks as groups of the data; of one task: set num_tasks to 1, or of mlp-tasks to 1 more than first_task",
  );
}
