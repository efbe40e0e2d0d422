/** Tables in memory, and questions about them. */
import { encodeFloats } from "../../../src/checkpoint/decode.ts";
import type { TableQuestion } from "../../../src/merge/approximation.ts";
import { RowTable } from "../../../src/merge/vocabulary/row-table.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { entry } from "../plan/fixtures.ts";

/** A table of rows. */
export function tableOf(values: Float32Array, columns: number, dtype: "F32" | "BF16" = "F32"): RowTable {
  const shape = columns === 0 ? [values.length] : [values.length / columns, columns];
  return new RowTable(entry("table", dtype, shape, encodeFloats(values, dtype)));
}

/** A question whose shared tokens have the same rows in both tables: 0 to `shared` - 1, and wants the donor's rest. */
export function questionOf(own: RowTable, donor: RowTable, shared: number): TableQuestion {
  const ids = Int32Array.from({ length: shared }, (_, i) => i);
  return {
    own,
    donor,
    shared: { donor: ids, own: ids },
    wanted: Array.from({ length: donor.rows - shared }, (_, i) => ({ id: shared + i, token: `t${i}` })),
    use: "embedding",
    pieces: () => [],
    gpu: sharedGpu,
    key: [0, "table"],
    advance() {},
    signal: new AbortController().signal,
    warn() {},
  };
}
