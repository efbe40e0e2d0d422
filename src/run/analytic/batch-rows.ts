/** The rows of a batch for a classifier, as they were before they were stacked. */
import { type Batch, isPairs, isTokens } from "../../data/batch.ts";
import type { Example } from "../../data/examples.ts";
import { UserError } from "../../errors.ts";

/** Throws UserError for rows without classes. */
export function rowsOfBatch(batch: Batch): Example[] {
  if (isTokens(batch) || isPairs(batch))
    throw new UserError("rows with classes are asked for, and these are texts without", "name a classifier");
  return Array.from(batch.labels, (label, row): Example => {
    const about = { label, group: batch.tasks[row] ?? 0, place: batch.places[row] ?? `row ${row + 1}` };
    if ("tokens" in batch) {
      const { width, tokens } = batch;
      const of = (values: Int32Array) => values.slice(row * width, (row + 1) * width);
      const length = of(tokens.segments).reduce((sum, one) => sum + one, 0);
      return { tokens: { ids: of(tokens.ids).slice(0, length), types: of(tokens.types).slice(0, length) }, ...about };
    }
    const size = batch.shape.reduce((a, b) => a * b, 1);
    return { x: batch.x.slice(row * size, (row + 1) * size), shape: batch.shape, ...about };
  });
}
