/** What the `report` script does: logs to a page, a figure or a table. */

import fs from "node:fs";
import { isatty } from "node:tty";
import type { CommonValues, Outcome, PlainContext } from "../cli/context.ts";
import type { Options, Values } from "../cli/options.ts";
import { writeAll } from "../cli/stderr.ts";
import { UserError } from "../errors.ts";
import { readRuns } from "./read.ts";
import { toCsv, toMarkdown } from "./tables.ts";

export const REPORT = {
  svg: { type: "boolean", default: false, help: "curves as an SVG figure" },
  png: { type: "boolean", default: false, help: "curves as a PNG figure" },
  csv: { type: "boolean", default: false, help: "all points as CSV" },
  md: { type: "boolean", default: false, help: "last values, options that differ and evaluations as Markdown" },
  axis: { type: "'step' | 'tokens' | 'seconds'", default: "step", help: "what a figure's curves run along" },
} as const satisfies Options;

export type ReportContext = PlainContext & { readonly options: CommonValues & Values<typeof REPORT> };

export async function report(context: ReportContext): Promise<Outcome> {
  const { options, args } = context;
  const forms = (["svg", "png", "csv", "md"] as const).filter((form) => options[form]);
  if (forms.length > 1) throw new UserError(`--${forms[0]} and --${forms[1]} are two results`, "ask for one at a time");
  const runs = readRuns(args.length > 0 ? args : ["-"]);
  for (const { file, bad } of new Map(runs.map((run) => [run.file, run])).values()) {
    if (bad.length === 0) continue;
    const lines = bad.length === 1 ? `line ${bad[0]} is` : `${bad.length} lines, the first of them line ${bad[0]}, are`;
    context.warn(`${file}: ${lines} no JSON, and left out`);
  }
  const points = runs.some(({ series }) => series.size > 0);
  const [form] = forms;
  if ((form === "svg" || form === "png" || form === "csv") && !points)
    throw new UserError(`${args.join(", ")}: no run has a curve`, "evaluations are in the page and in --md");
  if (form === "csv") context.print(toCsv(runs));
  else if (form === "md") context.print(toMarkdown(runs));
  else if (form === "svg" || form === "png") {
    const { toPng, toSvg } = await import("./figure.ts");
    const svg = await toSvg(runs, options.axis);
    if (form === "svg") context.print(svg);
    else writeBinary(context.out, await toPng(svg));
  } else {
    const { toHtml } = await import("./page.ts");
    if (context.out === "-" && isatty(1))
      throw new UserError("the page is for a browser and stdout is a terminal", "write > report.html, or ask for --md");
    context.print(toHtml(runs));
  }
  return {};
}

function writeBinary(out: string, bytes: Uint8Array): void {
  if (out !== "-") fs.writeFileSync(out, bytes);
  else if (isatty(1)) throw new UserError("the figure is binary and stdout is a terminal", "write > figure.png");
  else writeAll(1, bytes as Buffer);
}
