/** Documents of several lengths that share rows. */

/** Positions of rows of documents, (B * T) i32: from 0 in each. */
export const positionsOf = (rows: readonly (readonly number[])[]): Int32Array =>
  Int32Array.from(rows.flatMap((row) => row.flatMap((length) => Array.from({ length }, (_, i) => i))));
