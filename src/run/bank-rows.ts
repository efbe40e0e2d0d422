/** Rows of a bank of shards: which shard and slice each is in, and the digests by which it is known again. */
import { heldEntry } from "../checkpoint/adapter/entries.ts";
import type { Checkpoint, TensorEntry } from "../checkpoint/checkpoint.ts";
import { loadSequences } from "../data/dataset.ts";
import { type Example, loadExamples } from "../data/examples.ts";
import type { GroupReference } from "../data/groups.ts";
import { DIGEST, digestedPlace, rowDigest } from "../data/row-digest.ts";
import type { Sequence } from "../data/sequences.ts";
import { UserError } from "../errors.ts";
import type { DescribedModel } from "./open-model.ts";

/** Where a row is. */
export interface BankPlace {
  readonly shard: number;
  readonly slice: number;
}

/** Places by digest; rows that say the same are in one place. */
export type BankRows = ReadonlyMap<string, BankPlace>;

/** How rows are shared out. */
export interface Sharing {
  readonly shards: number;
  readonly slices: number;
  readonly seed: number;
  readonly byGroup: boolean;
}

/** The place of a row, which depends on no other row. */
export function placeOf(row: Example | Sequence, { shards, slices, seed, byGroup }: Sharing): BankPlace {
  const digest = rowDigest(row);
  return {
    shard: digestedPlace(digest, `shard ${seed}`, shards),
    slice: byGroup ? row.group : digestedPlace(digest, `slice ${seed}`, slices),
  };
}

/** Rows as a model reads them: texts of a language model, or examples. */
export async function readBankRows(
  groups: readonly GroupReference[],
  { tools, examples }: Pick<DescribedModel, "tools" | "examples">,
): Promise<readonly (Example | Sequence)[]> {
  return tools ? (await loadSequences(groups, tools.encode)).sequences : loadExamples(groups, examples);
}

const [ROWS, PLACES] = ["rows", "places"] as const;

/** As tensors, in the order of digests. */
export function rowEntries(rows: BankRows): TensorEntry[] {
  const sorted = [...rows].sort(([a], [b]) => (a < b ? -1 : 1));
  const digests = new Uint8Array(Buffer.from(sorted.map(([digest]) => digest).join(""), "hex"));
  const places = Int32Array.from(sorted.flatMap(([, { shard, slice }]) => [shard, slice]));
  const read = async () => {};
  return [
    heldEntry({ name: ROWS, dtype: "U8", shape: [rows.size, DIGEST], bytes: digests.byteLength, read }, digests),
    heldEntry(
      { name: PLACES, dtype: "I32", shape: [rows.size, 2], bytes: places.byteLength, read },
      new Uint8Array(places.buffer),
    ),
  ];
}

/** Reads them. Throws UserError where they are not there. */
export async function rowsOfBank({ ref, tensors }: Checkpoint): Promise<Map<string, BankPlace>> {
  const [rows, places] = [tensors.get(ROWS), tensors.get(PLACES)];
  const count = (rows?.bytes ?? 0) / DIGEST;
  if (rows?.dtype !== "U8" || places?.dtype !== "I32" || places.bytes !== 8 * count)
    throw new UserError(`${ref} does not say which rows it holds`, "name what train s3t wrote");
  const digests = new Uint8Array(rows.bytes);
  await rows.read(digests, 0);
  const numbers = new Int32Array(2 * count);
  await places.read(new Uint8Array(numbers.buffer), 0);
  return new Map(
    Array.from({ length: count }, (_, i) => [
      Buffer.from(digests.subarray(i * DIGEST, (i + 1) * DIGEST)).toString("hex"),
      { shard: numbers[2 * i]!, slice: numbers[2 * i + 1]! },
    ]),
  );
}
