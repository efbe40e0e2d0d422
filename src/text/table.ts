/** A plain table: columns two spaces apart, as wide as their widest cell on a terminal. */

export interface TableOptions {
  /** One letter per column, `l` (left, also for columns not named) or `r` (right): "lrr". */
  readonly align?: string;
}

/** Lays rows out as lines joined by newlines; nothing trails a line. */
export function table(rows: readonly (readonly string[])[], { align = "" }: TableOptions = {}): string {
  const widths: number[] = [];
  for (const row of rows)
    row.forEach((cell, column) => {
      widths[column] = Math.max(widths[column] ?? 0, Bun.stringWidth(cell));
    });
  const pad = (cell: string, column: number) => {
    const space = " ".repeat(widths[column]! - Bun.stringWidth(cell));
    return align[column] === "r" ? space + cell : cell + space;
  };
  return rows.map((row) => row.map(pad).join("  ").trimEnd()).join("\n");
}
