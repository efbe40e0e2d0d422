/** Rows of a buffer among the new ones, or beside them. */
import { drawRows, type MemoryBuffer } from "./buffer.ts";
import type { Mix, Part, Stage, Stream } from "./contract.ts";
import type { RowRef } from "./rows.ts";

/** Old rows that join n new ones so that they are a share rho of all. */
export const oldRows = (rho: number, fresh: number): number => Math.round((rho / (1 - rho)) * fresh);

/** Old rows as a share of all rows of a stage; undefined without any. */
export function replayMix(
  { rows, seed }: Pick<Stream<unknown>, "rows" | "seed">,
  buffer: { readonly rows: readonly RowRef[] },
  stage: Stage,
  rho: number,
): Mix | undefined {
  const from = [...buffer.rows];
  const perPass = from.length === 0 ? 0 : oldRows(rho, rows.of(stage.tasks).length);
  if (perPass === 0) return undefined;
  const draw = (index: number) => drawRows(from, { what: `replay ${stage.index}`, index, count: perPass, seed });
  return { perPass, from, draw };
}

/** A part of the objective with a batch of old rows for each batch of new ones; undefined without any. */
export function replayPart(
  buffer: MemoryBuffer,
  stage: Stage,
  {
    name,
    size,
    from = [...buffer.rows],
    ...part
  }: Omit<Part, "draw" | "from"> & {
    readonly size: number;
    readonly from?: Part["from"];
  },
): Part | undefined {
  if (from.length === 0) return undefined;
  const count = Math.min(size, from.length);
  const draw = (epoch: number, batch: number) => buffer.draw(from, `${name} ${stage.index} ${epoch}`, batch, count);
  return { name, ...part, from, draw };
}
