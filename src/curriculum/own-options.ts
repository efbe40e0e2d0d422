/** Refuses options that mean nothing to what was asked for. */
import { flagOf } from "../cli/parse.ts";
import { UserError } from "../errors.ts";
import type { CurriculumContext } from "./command.ts";

/** Options of the sub-commands alone. */
const OF_COMMAND: Readonly<Record<string, readonly string[]>> = {
  graph: ["graph_steps", "exact", "edges"],
  select: ["select_by", "keep", "per_cluster", "ranked"],
  plan: ["flops", "parameters", "tokens", "tokens_per_param"],
};

/** Options of training that no sub-command has. */
const OF_TRAINING = ["steps", "epochs", "graph", "schedule_from", "sample_weight", "reweight_temp", "reweight_warmup"];
const OF_LOSS = ["task_loss", "focus"];

/** `command` is undefined for training. Throws UserError for the first option that would do nothing. */
export function checkOwnOptions({ options, chosen }: CurriculumContext, command?: "graph" | "select" | "plan"): void {
  for (const [other, names] of Object.entries(OF_COMMAND)) {
    const odd = other === command ? undefined : names.find((name) => name in chosen);
    if (odd) throw new UserError(`${flagOf(odd)} means nothing without curriculum ${other}`, "give both or neither");
  }
  if (command) {
    const odd = [...OF_TRAINING, ...(command === "graph" ? [] : OF_LOSS)].find((name) => name in chosen);
    const flag = options.method === undefined ? odd && flagOf(odd) : "--method";
    const instead =
      command === "select" ? "--select-by chooses how" : command === "graph" && "--graph-steps is its own";
    if (flag) throw new UserError(`${flag} means nothing to curriculum ${command}`, instead || "leave it out");
  }
  const without = (name: string, isThere: boolean, needed: string) => {
    if (name in chosen && !isThere)
      throw new UserError(`${flagOf(name)} means nothing without ${needed}`, "give both or neither");
  };
  const { schedule_from, sample_weight, task_loss, select_by } = options;
  without("per_cluster", select_by === "dp-means", "--select-by dp-means");
  without("focus", task_loss === "task-focal" || schedule_from !== undefined, "--task-loss task-focal");
  for (const name of ["reweight_temp", "reweight_warmup"])
    without(name, sample_weight !== "uniform", "--sample-weight linupper, quadratic or extremes");
  if (schedule_from === undefined) return;
  if (options.method !== undefined)
    throw new UserError(
      `both --schedule-from and --method ${options.method} say what is drawn`,
      "leave one of them out; a schedule is repeated whatever its method",
    );
  if (options.graph !== undefined)
    throw new UserError("--graph means nothing with --schedule-from", "leave it out; the mixtures are known");
}
