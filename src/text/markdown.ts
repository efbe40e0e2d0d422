/** Tables of GitHub-flavoured Markdown, https://github.github.com/gfm/#tables-extension- */
import type { Cell, Sheet } from "./sheet.ts";

/** A text as a cell can hold it: on one line, and nothing in it is markup. */
export const markdownText = (text: string): string =>
  text.replaceAll(/[\\|*`<]|(?<!\w)_|_(?!\w)/g, "\\$&").replaceAll(/\r\n|[\r\n]/g, " ");

const cellOf = ({ text, strong }: Cell): string =>
  strong && text !== "" ? `**${markdownText(text)}**` : markdownText(text);

/** A table and the notes below it. The title of a block is a row of its own, since tables have no blocks. */
export function markdownTable({ header, align, blocks, notes }: Sheet): string {
  const line = (cells: readonly string[]) => `| ${cells.join(" | ")} |`;
  const rest = header.slice(1).map(() => "");
  const rows = blocks.flatMap(({ title, rows }) => [
    ...(title === undefined ? [] : [line([`*${markdownText(title)}*`, ...rest])]),
    ...rows.map((row) => line(row.map(cellOf))),
  ]);
  const marks = header.map((_, i) => (align[i] === "r" ? "---:" : "---"));
  const below = notes.length > 0 ? ["", notes.map(markdownText).join(" ")] : [];
  return `${[line(header.map(markdownText)), `|${marks.join("|")}|`, ...rows, ...below].join("\n")}\n`;
}
