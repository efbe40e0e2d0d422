/** What methods of second order do with inputs before they begin. */
import type { PooledBuffer } from "../../gpu/buffer.ts";
import type { InverseFactor } from "../../tensor/linear-algebra/inverse-factor.ts";
import { diagonalOf } from "../../tensor/linear-algebra/inverse-factor.ts";
import { dropMarked } from "../../tensor/weight-selection.ts";
import type { Layer } from "../layer.ts";

/** Sets to 0 the weights of inputs that are always 0. */
export async function dropDead(layer: Layer, { dead }: InverseFactor): Promise<void> {
  if (dead.length === 0) return;
  const flags = new Uint32Array(layer.columns);
  for (const column of dead) flags[column] = 1;
  using marks = layer.gpu.upload(flags, "dead inputs");
  await dropMarked(layer, marks.buffer, "columns");
}

/** 1 / U_jj of every input (columns), which the caller frees: times a weight, how much its loss costs. */
export async function scoreFactors({ gpu, columns }: Layer, { factor }: InverseFactor): Promise<PooledBuffer> {
  const pivots = await diagonalOf(gpu, { buffer: factor.buffer, rows: columns, columns });
  return gpu.upload(
    pivots.map((u) => 1 / u),
    "factors of inputs",
  );
}
