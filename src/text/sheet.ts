/** A table for documents, whatever their format: columns under one header, rows in blocks, notes below. */

export interface Cell {
  readonly text: string;
  /** Stands out, as the best of a column. */
  readonly strong?: boolean;
}

export interface Block {
  /** What the rows have in common; left out where nothing has to be told apart. */
  readonly title?: string;
  readonly rows: readonly (readonly Cell[])[];
}

export interface Sheet {
  readonly header: readonly string[];
  /** One letter a column: `l` (left) or `r` (right). */
  readonly align: string;
  readonly blocks: readonly Block[];
  /** One sentence each. */
  readonly notes: readonly string[];
}

/** A sheet of plain texts, the header first; columns of numbers stand right. */
export function plainSheet([header = [], ...rows]: readonly (readonly string[])[]): Sheet {
  const isNumber = (text: string | undefined) => text === undefined || text === "" || /^[-+]?[\d.]/.test(text);
  const align = header.map((_, i) => (rows.length > 0 && rows.every((row) => isNumber(row[i])) ? "r" : "l")).join("");
  return { header, align, blocks: [{ rows: rows.map((row) => row.map((text) => ({ text }))) }], notes: [] };
}
