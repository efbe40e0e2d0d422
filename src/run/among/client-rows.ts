/** The rows of every client, in batches of its own. */

import type { Batch } from "../../data/batch.ts";
import { countedTokens } from "../../data/dataset.ts";
import type { GroupReference } from "../../data/groups.ts";
import { readValues } from "../../data/read-rows.ts";
import { UserError } from "../../errors.ts";
import { isObject, show } from "../../json.ts";
import {
  type BatchSource,
  countedExamples,
  type OrderChoice,
  type ReadRows,
  sequenceBatches,
} from "../training/batch-source.ts";
import type { Seated } from "./local-training.ts";
import { PacedRows, type Pacing, type Rows } from "./paced-rows.ts";
import { dirichletParts, evenParts } from "./partition.ts";

export interface Sharing {
  readonly clients: number;
  readonly split: "even" | "dirichlet" | "groups" | "key";
  readonly alpha: number;
  /** Of `key`: the key of rows whose values are the clients. */
  readonly key: string | undefined;
  readonly seed: number;
}

/** Who has which row: names of the clients, and the client of every row that was read. */
interface Owners {
  readonly names: readonly string[];
  readonly owner: ArrayLike<number>;
}

const numbered = (count: number): string[] => Array.from({ length: count }, (_, i) => `client-${i + 1}`);

/** What was read, row by row: its group, its place and its class, which of texts without one is the group. */
function rowsOf(source: ReadRows): { group: number; place: string; label: number }[] {
  if ("examples" in source) return source.examples.map(({ group, place, label }) => ({ group, place, label }));
  return source.data.sequences.map(({ group, place }) => ({ group, place, label: group }));
}

async function ownersOf(source: ReadRows, groups: readonly GroupReference[], sharing: Sharing): Promise<Owners> {
  const { clients, split, alpha, key, seed } = sharing;
  const rows = rowsOf(source);
  if (split === "groups") {
    if (groups.length !== clients)
      throw new UserError(
        `--client-split groups gives each client a group of --data: ${groups.length} for ${clients} clients`,
        "give --data NAME=FILE once for each client",
      );
    return { names: groups.map(({ name }) => name), owner: rows.map(({ group }) => group) };
  }
  if (split === "even") return { names: numbered(clients), owner: evenParts(rows.length, clients, seed) };
  if (split === "dirichlet") {
    const labels = rows.map(({ label }) => label);
    if (new Set(labels).size < 2)
      throw new UserError(
        "--client-split dirichlet deals out classes, or groups of texts, and all rows are of one",
        "give --data NAME=FILE for each kind of text, or --client-split even",
      );
    return { names: numbered(clients), owner: dirichletParts(labels, { clients, alpha, seed }) };
  }
  const values = await keysOf(groups, key!);
  const names = [...new Set(values.values())].sort();
  if (names.length !== clients)
    throw new UserError(
      `rows have ${names.length} values of ${show(key!)}, and --clients is ${clients}`,
      `give --clients ${names.length}`,
    );
  return { names, owner: rows.map(({ place }) => names.indexOf(values.get(place)!)) };
}

/** The value of a key of every row, by the row's place. Throws UserError for a row without it. */
async function keysOf(groups: readonly GroupReference[], key: string): Promise<Map<string, string>> {
  const found = new Map<string, string>();
  for (const { path } of groups) {
    if (path === "-" || path === "/dev/stdin")
      throw new UserError(
        "--client-key reads rows twice, and stdin can be read once",
        "write the rows to a file first",
      );
    for await (const { value, place } of readValues(path)) {
      const own = isObject(value) ? value[key] : undefined;
      if (typeof own !== "string" && typeof own !== "number")
        throw new UserError(`${place} has no text or number as ${show(key)}`, "name a key that all rows have");
      found.set(place, String(own));
    }
  }
  return found;
}

/** A client with its rows. */
export interface ClientRows extends Seated<Batch> {
  readonly items: Rows;
  /** Where rows come in by how hard they are: the same as `source`. */
  readonly paced: PacedRows | undefined;
}

/** Every client with its rows. Throws UserError for a client without rows, and for a sharing that does not fit. */
export async function clientRows(
  source: ReadRows,
  groups: readonly GroupReference[],
  {
    order,
    pad,
    pacing,
    ...sharing
  }: Sharing & { readonly order: OrderChoice; readonly pad: number; readonly pacing: Pacing | undefined },
): Promise<ClientRows[]> {
  const { names, owner } = await ownersOf(source, groups, sharing);
  const { batchSize, seed = 0, shuffle = true } = order;
  return names.map((name, client) => {
    const own = <T>(rows: readonly T[]) => rows.filter((_, i) => owner[i] === client);
    const { items, batches } = batchesOf(source, name, own, order, pad);
    const paced = pacing && new PacedRows(batches, items, { batchSize, seed, shuffle, pad }, pacing);
    return { name, source: paced ?? batches, rows: batches.groups[0]!.rows, items, paced };
  });
}

function batchesOf(
  source: ReadRows,
  name: string,
  own: <T>(rows: readonly T[]) => T[],
  order: OrderChoice,
  pad: number,
): { readonly items: Rows; readonly batches: BatchSource<Batch> } {
  if ("examples" in source) {
    const items = own(source.examples);
    refuseNone(name, items.length);
    const lengths = new Int32Array(items.length).fill(1);
    return { items, batches: countedExamples(items, [{ name, rows: items.length, lengths }], order) };
  }
  const items = own(source.data.sequences);
  const counted = items.reduce((sum, sequence) => sum + countedTokens(sequence), 0);
  refuseNone(name, counted);
  const lengths = Int32Array.from(items, ({ ids }) => ids.length);
  const tokens = lengths.reduce((a, b) => a + b, 0);
  const rows = items.length;
  const groups = [{ name, rows, sequences: rows, tokens, counted, lengths }];
  return { items, batches: sequenceBatches({ sequences: items, groups }, order, pad) };
}

function refuseNone(name: string, counted: number): void {
  if (counted === 0)
    throw new UserError(
      `${show(name)} has no rows that count`,
      "leave this client out, or deal the rows out otherwise",
    );
}
