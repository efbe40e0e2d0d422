/**
 * Packing: several short sequences in one row of a batch.
 *
 * First fit in the order given: a sequence goes into the first open row with room for it, or opens a row. Depends on
 * the lengths and their order alone.
 */

/**
 * Open rows that are searched; beyond this the oldest is closed, so that time stays linear in the number of sequences.
 */
const OPEN_ROWS = 256;

/** Indices of `lengths` for each row of at most `capacity` tokens, rows in the order in which they were opened. */
export function packFirstFit(lengths: Iterable<number>, capacity: number): number[][] {
  const rows: number[][] = [];
  let open: { row: number[]; left: number }[] = [];
  let index = 0;
  for (const length of lengths) {
    if (!(length >= 1 && length <= capacity)) {
      throw new RangeError(`sequence ${index} has ${length} tokens; a row takes 1 to ${capacity}`);
    }
    let place = open.find(({ left }) => left >= length);
    if (place === undefined) {
      place = { row: [], left: capacity };
      rows.push(place.row);
      open.push(place);
      if (open.length > OPEN_ROWS) open.shift();
    }
    place.row.push(index++);
    place.left -= length;
    if (place.left === 0) open = open.filter((other) => other !== place);
  }
  return rows;
}
