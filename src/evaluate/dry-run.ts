/** `evaluate --dry-run`: what would be measured, on what. */
import type { Checkpoint } from "../checkpoint/checkpoint.ts";
import type { Outcome } from "../cli/context.ts";
import type { GroupReference } from "../data/groups.ts";
import { humanBytes } from "../text/format.ts";
import { table } from "../text/table.ts";
import type { EvaluateContext } from "./command.ts";
import type { Metric } from "./contract.ts";
import { countData, type EvaluationData } from "./read-data.ts";
import type { ChosenTechnique } from "./techniques.ts";

export interface Planned {
  /** Of the models that are measured; further checkpoints are those to compare with. */
  readonly refs: readonly string[];
  readonly checkpoints: readonly Checkpoint[];
  readonly metrics: readonly Metric[];
  readonly groups: readonly GroupReference[];
  /** As the first model reads it. */
  readonly data: EvaluationData;
  readonly chosen: Pick<ChosenTechnique, "kind" | "technique"> | undefined;
}

/** Prints models, metrics and the rows of every group, all of which were checked. */
export function printPlan(context: EvaluateContext, planned: Planned): Outcome {
  const { options, out } = context;
  const { refs, checkpoints, metrics, groups, data, chosen } = planned;
  const models = checkpoints.map(({ ref, tensors }, i) => ({
    model: refs[i] ?? ref,
    role: i < refs.length ? "model" : i === refs.length && options.gold !== undefined ? "gold" : "original",
    bytes: [...tensors.values()].reduce((sum, { bytes }) => sum + bytes, 0),
  }));
  const counts = countData(data, groups.length);
  const rows = groups.map(({ name }, i) => ({ group: name, ...counts[i]! }));
  const names = metrics.map(({ name }) => name);
  const result = out !== "-" ? out : options.pass ? "stderr" : "stdout";
  const writes = [
    ...(options.pass ? ["the model to stdout"] : []),
    ...(options.dump === undefined ? [] : [`logits to ${options.dump}`]),
    `the result to ${result}`,
  ];
  if (options.json) {
    const technique = chosen ? { [chosen.kind]: chosen.technique.name } : {};
    context.line({ models, metrics: names, groups: rows, ...technique, writes });
    return {};
  }
  const unit = data.kind === "text" ? "tokens that count" : "examples";
  const facts = [
    ...models.map(({ model, role, bytes }) => [role, `${model}, ${humanBytes(bytes)} of weights`]),
    ...rows.map(({ group, rows: n, counted }) => ["group", `${group}, ${n} rows, ${counted} ${unit}`]),
    ...(chosen ? [[chosen.kind, chosen.technique.name]] : []),
    ...(names.length > 0 ? [["metrics", names.join(", ")]] : []),
    ["writes", writes.join(", ")],
  ];
  context.print(table(facts));
  return {};
}
