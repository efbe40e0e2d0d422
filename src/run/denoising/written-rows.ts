/** Drawn rows as files hold them. */

export interface WrittenRow {
  readonly x: readonly number[];
  readonly label?: number;
}

/** Of values (B, D), with seven digits each; a label of `none` is left out. */
export function writtenRows(values: Float32Array, labels: Int32Array, none: number): WrittenRow[] {
  const width = values.length / labels.length;
  return Array.from(labels, (label, row) => ({
    x: Array.from(values.subarray(row * width, (row + 1) * width), (value) => Number(value.toPrecision(7))),
    ...(label === none ? {} : { label }),
  }));
}
