/** What the `report` script does: logs and evaluations to a page, a figure, a table or an object. */

import { isatty } from "node:tty";
import type { Outcome } from "../cli/context.ts";
import { textOutput } from "../cli/output.ts";
import { writeAll } from "../cli/stderr.ts";
import { refuseInputs } from "../cli/target.ts";
import { UserError } from "../errors.ts";
import { leftOutOfTable } from "../run/evaluation/documents.ts";
import type { ReportContext } from "./commands/context.ts";
import { type Form, formOf } from "./form.ts";
import { metricsOf } from "./read.ts";
import { readSources, type Sources } from "./sources/read-sources.ts";
import { toSummary } from "./summary.ts";
import { evaluationsOf, toCsv, toLatex, toMarkdown } from "./tables.ts";

export async function report(context: ReportContext): Promise<Outcome> {
  const { options, out, dryRun } = context;
  const logs = context.args.length > 0 ? context.args : ["-"];
  if (options.follow) {
    if (out !== "-")
      throw new UserError("--follow writes no file", "leave out -o; report the log when the run has ended");
    return (await import("./commands/follow.ts")).follow(context, logs);
  }
  const form = formOf(options);
  refuseInputs(out, logs);
  if (out === "-" && !dryRun && isatty(1)) refuseTerminal(form);
  const { runs, ancestries } = await readSources(logs);
  for (const { file, bad } of new Map(runs.map((run) => [run.file, run])).values()) {
    if (bad.length === 0) continue;
    const lines = bad.length === 1 ? `line ${bad[0]} is` : `${bad.length} lines, the first of them line ${bad[0]}, are`;
    context.warn(`${file}: ${lines} not JSON and left out`);
  }
  if (ancestries.length > 0 && form !== "html")
    throw new UserError(
      `${ancestries[0]!.ref} is a checkpoint, whose lineage is drawn on a page`,
      "write -o report.html, or ask ingot inspect",
    );
  const hasCurves = metricsOf(runs).length > 0;
  const evaluations = evaluationsOf(runs);
  if ((form === "svg" || form === "png" || (form === "csv" && evaluations.length === 0)) && !hasCurves)
    throw new UserError(`${logs.join(", ")}: no run has a curve`, "evaluations are in the page, in --md and in --tex");
  if (form === "csv" && hasCurves && evaluations.length > 0)
    context.info("the points of curves alone are written; report the evaluations apart for theirs");
  const left = form === "md" || form === "tex" ? leftOutOfTable(evaluations.flat()) : undefined;
  if (left !== undefined) context.info(left);
  if (dryRun) {
    const plan = { form, runs: runs.length, curves: metricsOf(runs).length, out };
    context.print(`would write ${form} to ${out === "-" ? "stdout" : out}: runs ${plan.runs}, curves ${plan.curves}`);
    context.json(plan);
    return {};
  }
  if (form === "json" && out === "-") {
    context.json(toSummary(runs));
    return {};
  }
  const result = await made(form, { runs, ancestries }, options.axis);
  if (out !== "-") {
    const target = textOutput(out);
    context.onExit((ok) => (ok ? target.commit() : target.discard()));
    target.write(result);
  } else if (typeof result === "string") context.text(result);
  else writeAll(1, result);
  if (options.json && form !== "json") context.json(toSummary(runs));
  return {};
}

function refuseTerminal(form: Form): void {
  if (form === "html")
    throw new UserError("the page is for a browser and stdout is a terminal", "write > report.html, or ask for --md");
  if (form === "png") throw new UserError("the figure is binary and stdout is a terminal", "write > figure.png");
}

/** The result as it stands in a file. What draws is loaded only where it is asked for. */
async function made(form: Form, { runs, ancestries }: Sources, axis: "step" | "tokens" | "seconds") {
  switch (form) {
    case "csv":
      return toCsv(runs);
    case "md":
      return toMarkdown(runs);
    case "tex":
      return toLatex(runs);
    case "json":
      return `${JSON.stringify(toSummary(runs), null, 2)}\n`;
    case "html":
      return (await import("./page/page.ts")).toHtml(runs, ancestries);
    case "svg":
    case "png": {
      const { toPng, toSvg } = await import("./figure.ts");
      const svg = await toSvg(runs, axis);
      return form === "svg" ? svg : toPng(svg);
    }
  }
}
