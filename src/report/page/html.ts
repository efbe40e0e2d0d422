/** Pieces of HTML. Texts of logs are never markup. */
import { short as plain } from "../tables.ts";

export const escaped = (text: unknown): string =>
  String(text ?? "")
    .replaceAll("&", "&amp;")
    .replaceAll("<", "&lt;")
    .replaceAll(">", "&gt;")
    .replaceAll('"', "&quot;");

/** JSON that may stand in a script element: nothing in it ends the element. */
export const embedded = (value: unknown): string => JSON.stringify(value).replaceAll("<", "\\u003c");

/** A value in a cell. */
export const short = (value: unknown): string => escaped(plain(value));

/** A wide piece of the page, which scrolls by itself, by keys too. */
export const scrolling = (label: string, inner: string): string =>
  `<div class="scroll" tabindex="0" role="region" aria-label="${escaped(label)}">${inner}</div>`;

/** A table of cells that are HTML; names of columns are texts. */
export const table = (caption: string, header: readonly string[], rows: readonly (readonly string[])[]): string =>
  scrolling(
    caption,
    `<table><caption>${escaped(caption)}</caption><thead><tr>${header
      .map((name) => `<th scope="col">${escaped(name)}</th>`)
      .join("")}</tr></thead><tbody>${rows
      .map((row) => `<tr>${row.map((value) => `<td>${value}</td>`).join("")}</tr>`)
      .join("")}</tbody></table>`,
  );
