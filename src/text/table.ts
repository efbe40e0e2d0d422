/** A plain table: columns two spaces apart, as wide as their widest cell on a terminal. */

export interface TableOptions {
  /** Most columns of a line; a first cell that leaves no room for the others has a line of its own. */
  readonly width?: number;
  /** One letter per column, `l` (left, also for columns not named) or `r` (right): "lrr". */
  readonly align?: string;
}

/** Lays rows out as lines joined by newlines; nothing trails a line. */
export function table(
  rows: readonly (readonly string[])[],
  { align = "", width = Infinity }: TableOptions = {},
): string {
  const widths: number[] = [];
  for (const row of rows)
    row.forEach((cell, column) => {
      widths[column] = Math.max(widths[column] ?? 0, Bun.stringWidth(cell));
    });
  const room = width - widths.slice(1).reduce((sum, own) => sum + own + 2, 0);
  const isLong = (row: readonly string[]) => Bun.stringWidth(row[0] ?? "") > Math.max(room, 0);
  if (room > 0)
    widths[0] = Math.max(0, ...rows.filter((row) => !isLong(row)).map((row) => Bun.stringWidth(row[0] ?? "")));
  const pad = (cell: string, column: number) => {
    const space = " ".repeat(widths[column]! - Bun.stringWidth(cell));
    return align[column] === "r" ? space + cell : cell + space;
  };
  const line = (row: readonly string[]) => row.map(pad).join("  ").trimEnd();
  return rows
    .map((row) => (room > 0 && isLong(row) ? `${row[0]}\n${line(["", ...row.slice(1)])}` : line(row)))
    .join("\n");
}
