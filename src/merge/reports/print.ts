/** What `merge` says before it reads weights: `--check`, `--explain` and `--dry-run`. */
import { uploadText } from "../../checkpoint/hub/upload.ts";
import { type Recipe, recipeReferences } from "../../checkpoint/lineage/recipe/recipe.ts";
import { referenceKey } from "../../checkpoint/reference.ts";
import { humanBytes } from "../../text/format.ts";
import { table } from "../../text/table.ts";
import type { MergeMethod } from "../contract.ts";
import { peakBytes } from "../job/run.ts";
import type { MergePlan } from "../plan/merge-plan.ts";
import type { OpenModels } from "../plan/open-models.ts";
import { planBytes } from "../plan/plan-bytes.ts";
import { checkModels } from "./check.ts";
import { explain, explanationText } from "./explain.ts";
import { relatedness } from "./relatedness.ts";

/** Where a report goes: text for people, JSON for programs. */
export interface Printer {
  print(text: string): void;
  json(value: unknown): void;
}

/** Prints how the models of a recipe compare; false if they have no chance together. */
export async function printCheck(
  printer: Printer,
  recipe: Recipe,
  models: OpenModels,
  options: { allowMissing?: boolean } = {},
): Promise<boolean> {
  const opened = await models.open(recipe);
  const report = await checkModels(recipe, opened, options);
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
  printer.print(
    table([["model", "role", "architecture", "layers", "parameters", "dtypes", "rows", "tokens"], ...rows]),
  );
  for (const { ref, distance, cosine } of related?.relations ?? []) {
    printer.print(`${ref}: relative distance ${distance.toPrecision(3)}, cosine ${cosine.toFixed(5)}`);
  }
  for (const { a, b, cosine } of related?.pairs ?? []) {
    printer.print(`task vectors of ${a} and ${b}: cosine ${cosine.toFixed(4)}`);
  }
  for (const { level, message, hint } of problems)
    printer.print(`${level}: ${message}${hint ? `\n  hint: ${hint}` : ""}`);
  if (problems.length === 0) printer.print("no problems found");
  printer.json({ models: report.rows, relations: related?.relations ?? [], problems });
  return !problems.some((problem) => problem.level === "error");
}

/** Prints the parameters of every tensor. */
export function printExplanation(printer: Printer, plan: MergePlan): void {
  const { columns, rows } = explain(plan);
  printer.print(explanationText({ columns, rows }));
  printer.json({ columns, rows });
}

/** Prints what a merge reads, writes and holds. */
export function printCosts(
  printer: Printer,
  plan: MergePlan,
  method: MergeMethod,
  out: { to: string; written?: number; learning?: number | undefined },
): void {
  const costs = planBytes(plan);
  const bytes = { ...costs, output: out.written ?? costs.output };
  const { gpu, host } = peakBytes(plan.tensors, method);
  const peak = { gpu, host: host + (plan.aligned?.bytes ?? 0) };
  printer.print(
    table([
      ["tensors", String(bytes.tensors)],
      ["reads", humanBytes(bytes.input)],
      ["writes", humanBytes(bytes.output)],
      ["GPU memory", `at most ${humanBytes(peak.gpu)}`],
      ...(out.learning === undefined ? [] : [["GPU memory of learning", humanBytes(out.learning)]]),
      ["host memory", `at most ${humanBytes(peak.host)}; a software driver's GPU memory comes on top`],
      ["to", out.to === "-" ? "stdout" : out.to.startsWith("hf:") ? uploadText(out.to) : out.to],
    ]),
  );
  printer.json({
    ...bytes,
    peak: peak.gpu + peak.host,
    gpu_memory: peak.gpu,
    host_memory: peak.host,
    ...(out.learning === undefined ? {} : { learning_memory: out.learning }),
    out: out.to,
  });
}
