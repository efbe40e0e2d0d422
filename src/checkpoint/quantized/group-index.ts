/** The group of each input column, as act-order stores it. */
import { show } from "../../json.ts";
import type { TensorEntry } from "../checkpoint.ts";
import { expectShape, refusal, type Stored } from "./contract.ts";
import { readBytes } from "./read.ts";

/** Reads it. Throws UserError that names the tensor and the column of an index that is no group. */
export async function groupIndex(
  stored: Stored,
  layout: string,
  entry: TensorEntry,
  columns: number,
  groups: number,
): Promise<Int32Array> {
  expectShape(stored, layout, entry, [columns]);
  const index = new Int32Array((await readBytes(entry, 0, entry.bytes)).buffer);
  for (const [column, group] of index.entries()) {
    if (group >= 0 && group < groups) continue;
    const found = `${show(entry.name)} puts column ${column} into group ${group}`;
    throw refusal(stored, layout, `${found}; its groups are 0 to ${groups - 1}`);
  }
  return index;
}
