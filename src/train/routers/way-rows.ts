/** Rows with the ways that were found for them, as `train route-search` writes and `train routers` reads them. */
import type { GroupReference } from "../../data/groups.ts";
import type { LocatedRow } from "../../data/rows.ts";
import { writtenRow } from "../../data/written-row.ts";
import { UserError } from "../../errors.ts";
import { askedRows } from "../../run/depth/asked-rows.ts";
import type { TextTools } from "../../run/text-tools.ts";
import type { LabelledRow } from "./fit.ts";
import type { Times } from "./path-tree.ts";

/** The key of a row that says how often each layer runs. */
const KEY = "layer_turns";

/** A row with its way, as a line. */
export const wayLine = ({ row }: LocatedRow, times: Times): string =>
  JSON.stringify({ ...writtenRow(row), [KEY]: times });

/** The way of a row. Throws UserError where it has none of as many layers. */
function timesOf({ row, place }: LocatedRow, layers: number): Times {
  const found = row.extra[KEY];
  const isCount = (count: unknown): count is number => count === 0 || count === 1 || count === 2;
  if (Array.isArray(found) && found.length === layers && found.every(isCount)) return found;
  throw new UserError(
    `${place}: ${KEY} does not say how often each of ${layers} layers runs, 0 to 2 times`,
    "give rows that train route-search wrote for this model",
  );
}

/** Rows with their ways. Throws UserError for a row that has none for so many layers. */
export async function labelledRows(
  groups: readonly GroupReference[],
  tools: TextTools,
  layers: number,
): Promise<LabelledRow[]> {
  const rows = await askedRows(groups, tools);
  return rows.map(({ located, sequence }) => ({ sequence, times: timesOf(located, layers) }));
}
