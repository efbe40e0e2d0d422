/** What `merge` says before it reads weights: `--check`, `--explain` and `--dry-run`. */

import { type Recipe, recipeReferences } from "../../checkpoint/lineage/recipe/recipe.ts";
import { referenceKey } from "../../checkpoint/reference.ts";
import type { Outcome } from "../../cli/context.ts";
import { loadMethod } from "../../method/registry.ts";
import { humanBytes } from "../../text/format.ts";
import { table } from "../../text/table.ts";
import type { Context } from "../command.ts";
import type { MergeMethod } from "../contract.ts";
import { peakBytes } from "../job/run.ts";
import { planBytes, planMerge } from "../plan/merge-plan.ts";
import type { Inputs } from "../plan/open-models.ts";
import { checkModels } from "./check.ts";
import { explain } from "./explain.ts";
import { relatedness } from "./relatedness.ts";

export async function printCheck(context: Context, recipe: Recipe, inputs: Inputs): Promise<Outcome> {
  const opened = await inputs.open(recipe);
  const report = checkModels(recipe, opened);
  const keys = [...new Set([...(recipe.base ? [recipe.base] : []), ...recipeReferences(recipe)].map(referenceKey))];
  const related = await relatedness(keys.map((key) => opened.get(key)!));
  const problems = [...report.problems, ...(related?.problems ?? [])];
  const cell = (value: unknown) => (value === undefined ? "-" : String(value));
  const rows = report.rows.map((row) => [
    row.ref,
    row.role,
    cell(row.architecture),
    cell(row.layers),
    cell(row.parameters),
    row.dtypes.join(" "),
    cell(row.rows),
    cell(row.tokens),
  ]);
  context.print(
    table([["model", "role", "architecture", "layers", "parameters", "dtypes", "rows", "tokens"], ...rows]),
  );
  for (const { ref, distance, cosine } of related?.relations ?? []) {
    context.print(`${ref}: relative distance ${distance.toPrecision(3)}, cosine ${cosine.toFixed(5)}`);
  }
  for (const { a, b, cosine } of related?.pairs ?? []) {
    context.print(`task vectors of ${a} and ${b}: cosine ${cosine.toFixed(4)}`);
  }
  for (const { level, message, hint } of problems)
    context.print(`${level}: ${message}${hint ? `\n  hint: ${hint}` : ""}`);
  if (problems.length === 0) context.print("no problems found");
  context.json({ models: report.rows, relations: related?.relations ?? [], problems });
  return { exitCode: problems.some((problem) => problem.level === "error") ? 1 : 0 };
}

/** Opens a recipe's models and plans the merge. */
export async function planOf(context: Context, recipe: Recipe, inputs: Inputs) {
  const method = (await loadMethod("merge", recipe.method, "merge_method")) as MergeMethod;
  const opened = await inputs.open(recipe);
  const allowDuplicates = context.options.allow_duplicates === true;
  return { method, opened, plan: await planMerge(recipe, opened, method, { allowDuplicates }) };
}

export async function printExplanation(context: Context, recipe: Recipe, inputs: Inputs): Promise<Outcome> {
  const { plan } = await planOf(context, recipe, inputs);
  const { columns, rows } = explain(plan);
  for (const warning of plan.warnings) context.warn(warning);
  context.print(table([[...columns], ...rows.map((row) => [...row])]));
  context.json({ columns, rows });
  return {};
}

export async function printPlan(context: Context, recipe: Recipe, inputs: Inputs): Promise<Outcome> {
  const { plan, method } = await planOf(context, recipe, inputs);
  const bytes = planBytes(plan);
  const peak = peakBytes(plan.tensors, method);
  for (const warning of plan.warnings) context.warn(warning);
  context.print(
    table([
      ["tensors", String(bytes.tensors)],
      ["reads", humanBytes(bytes.input)],
      ["writes", humanBytes(bytes.output)],
      ["peak memory", `at most ${humanBytes(peak)}, device and host together`],
      ["to", context.out === "-" ? "stdout" : context.out],
    ]),
  );
  context.json({ ...bytes, peak, out: context.out });
  return {};
}
