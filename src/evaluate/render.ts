/** What an evaluation found, in each form that it can be written in. */
import { evaluationCsv, evaluationSheet, evaluationText } from "../run/evaluation/documents.ts";
import { type EvaluationForm, evaluationForm } from "../run/evaluation/form.ts";
import type { LayoutOptions } from "../run/evaluation/layout.ts";
import type { EvaluationRow } from "../run/evaluation/row.ts";
import { csv } from "../text/csv.ts";
import { latexDocument } from "../text/latex.ts";
import { markdownTable } from "../text/markdown.ts";
import { narrowTable } from "../text/narrow-table.ts";
import { plainSheet } from "../text/sheet.ts";
import { longTable } from "./results.ts";
import { cell, type TableCell } from "./technique.ts";

/** What was found, for machines; and as a table for people, or as the rows of metrics. */
export interface Found {
  readonly value: Readonly<Record<string, unknown>> & { readonly rows: readonly unknown[] };
  /** Rows of cells, the header first: of an attack or a probe. */
  readonly cells?: readonly (readonly TableCell[])[];
  /** Of metrics. */
  readonly rows?: readonly EvaluationRow[];
}

export interface RenderOptions extends LayoutOptions {
  /** Every number of metrics on a line of its own. */
  readonly long: boolean;
  /** The models that were asked for. */
  readonly refs: readonly string[];
}

/** The form that the ending of -o asks for; undefined where that is left to --json. */
export function formOf(out: string): EvaluationForm | undefined {
  const form = evaluationForm(out);
  return form === "txt" ? undefined : form;
}

/** Whether a file of the form leaves what --json asks for to stdout. */
export const isBesideJson = (form: EvaluationForm | undefined): boolean =>
  form !== undefined && !form.startsWith("json");

const shown = (cells: NonNullable<Found["cells"]>): string[][] =>
  cells.map((row) => row.map((each) => (typeof each === "string" ? each : cell(each))));

/** A plain table; on a terminal names give way to numbers. */
const plainText = (rows: string[][], { width, cuts }: RenderOptions): string =>
  narrowTable(rows, { width: cuts ? width : undefined, giving: [{ shorten: 0, to: 12 }] }).text;

/** The text of a file of this form, or of stdout. */
export function rendered(form: EvaluationForm, { value, cells, rows = [] }: Found, options: RenderOptions): string {
  const { long, refs } = options;
  const isGrid = cells === undefined && !long;
  const plain = () => (cells ? shown(cells) : longTable(rows, refs));
  switch (form) {
    case "csv":
      return cells ? csv(cells) : evaluationCsv(rows);
    case "json":
      return `${JSON.stringify(value)}\n`;
    case "jsonl":
      return value.rows.map((row) => `${JSON.stringify(row)}\n`).join("");
    case "md":
      return markdownTable(isGrid ? evaluationSheet(rows) : plainSheet(plain()));
    case "tex":
      return latexDocument([isGrid ? evaluationSheet(rows) : plainSheet(plain())]);
    case "txt":
      return `${isGrid ? evaluationText(rows, options) : plainText(plain(), options)}\n`;
  }
}
