/** Token and position embeddings: rows of a table, and the deterministic scatter-add that is their gradient. */
import { foldGroups, spanGroups } from "../../gpu/grid.ts";
import type { Recorder } from "../recorder.ts";
import { rowParts } from "../stretches.ts";
import { showShape, sizeOf, type Tensor } from "../tensor.ts";

/** An id that no token has. */
const NO_ROW = 0xffffffff;

const chains = new WeakMap<Recorder, Map<number, Tensor>>();

/** Chains of equal ids, made once for all uses in a recording. */
function linksOf(rec: Recorder, ids: Tensor, n: number): Tensor {
  const known = chains.get(rec) ?? new Map<number, Tensor>();
  chains.set(rec, known);
  let links = known.get(ids.id);
  if (!links) {
    links = rec.scratch([n], "chains of equal ids", "u32");
    known.set(ids.id, links);
    rec.step({ kernel: "embedding/links", bind: { ids, next: links }, params: { n }, groups: spanGroups(n, 64) });
  }
  return links;
}

/**
 * (N) ids, (V, C) table in f32 or bf16 -> (N, C). The gradient walks chains of equal ids: no atomics, terms in order of
 * the tokens; besides one pass over the table it costs N^2 / 2 comparisons at most, when all ids differ.
 * `fixed`: a row that takes no gradient.
 */
export function embedding(
  rec: Recorder,
  ids: Tensor,
  table: Tensor,
  { fixed }: { readonly fixed?: number | undefined } = {},
): Tensor {
  const [, c = 0] = table.shape;
  const n = sizeOf(ids.shape);
  const parts = rowParts(rec, table).map((part, i, all) => {
    const lowest = all.slice(0, i).reduce((sum, { shape }) => sum + shape[0]!, 0);
    return { part, lowest, v: part.shape[0] ?? 0 };
  });
  const y = rec.result([n, c], [table], `rows of ${table.label}`);
  for (const { part, lowest, v } of parts)
    rec.step({
      kernel: "embedding/gather",
      flags: [...(table.dtype === "bf16" ? ["table_bf16"] : []), ...(lowest > 0 ? ["later"] : [])],
      bind: { ids, table: part, y },
      params: { count: n * c, c, v, lowest },
      groups: spanGroups(n * c),
    });
  rec.onBackward(y, (dy) => {
    const links = linksOf(rec, ids, n);
    for (const { part, lowest, v } of parts) {
      const { into, accumulate } = rec.gradient(part);
      rec.step({
        kernel: "embedding/zero",
        bind: { y: into },
        params: { count: v * c, accumulate },
        groups: spanGroups(Math.ceil((v * c) / 4)),
      });
      rec.step({
        kernel: "embedding/scatter",
        bind: { ids, links, dy, table: into },
        params: { n, c, v, lowest, fixed: fixed ?? NO_ROW },
        groups: foldGroups(n),
      });
    }
  });
  return y;
}

/**
 * Sets rows of a table that lasts, (V, C), to values (N, C), by ids (N) i32 of which no two are alike. A negative id,
 * or one beyond the table, sets nothing.
 */
export function setRows(rec: Recorder, ids: Tensor, values: Tensor, table: Tensor): void {
  const [v = 0, c = 1] = table.shape;
  const count = sizeOf(ids.shape) * c;
  if (sizeOf(values.shape) !== count)
    throw new RangeError(`${showShape(values.shape)} values for ${showShape(ids.shape)} rows of ${c}`);
  rec.step({
    kernel: "embedding/set-rows",
    bind: { ids, values, table },
    params: { count, c, v },
    groups: spanGroups(count),
  });
}
