/** The files of a benchmark in a folder, as groups of rows. */
import fs from "node:fs";
import path from "node:path";
import type { GroupReference } from "../../data/groups.ts";
import { readRows } from "../../data/read-rows.ts";
import type { Row } from "../../data/rows.ts";
import { UserError } from "../../errors.ts";
import type { BenchmarkGroup, Pass } from "./contract.ts";

/** Endings of a file's name; those of the Hub's own parquet files are last. */
const ENDINGS = [
  ...[".jsonl", ".json", ".parquet", ".csv", ".jsonl.gz", ".json.gz"],
  ...["-00000-of-00001.parquet", "/test-00000-of-00001.parquet", "/train-00000-of-00001.parquet"],
];

const isFile = (name: string): boolean => fs.statSync(name, { throwIfNoEntry: false })?.isFile() ?? false;

/** The file of a name; undefined where there is none. */
export const fileOf = (folder: string, name: string): string | undefined =>
  ENDINGS.map((ending) => path.join(folder, `${name}${ending}`)).find(isFile);

/** All rows of the file of a name; undefined where there is none. */
export async function rowsOfFile(folder: string, name: string): Promise<Row[] | undefined> {
  const file = fileOf(folder, name);
  if (file === undefined) return undefined;
  const rows: Row[] = [];
  for await (const { row } of readRows(file)) rows.push(row);
  return rows;
}

function reference(folder: string, { name, files, columns, asked, optional }: BenchmarkGroup) {
  const file = files.map((each) => fileOf(folder, each)).find((each) => each !== undefined);
  if (file === undefined) {
    if (optional) return undefined;
    throw new UserError(
      `--files ${folder} has no ${files[0]}.jsonl`,
      `give the benchmark's own files, or rows named ${files.at(-1)}.jsonl`,
    );
  }
  const part = asked && {
    key: asked.name,
    async *rows(all: AsyncIterable<{ readonly row: Row; readonly place: string }>) {
      for await (const { row, place } of all) {
        try {
          yield { row: asked.turn(row), place };
        } catch (error) {
          throw error instanceof UserError ? new UserError(`${place}: ${error.message}`, error.hint) : error;
        }
      }
    },
  };
  return { name, path: file, ...(columns ? { columns } : {}), ...(part ? { part } : {}) };
}

/** The groups of a pass that there are. Throws UserError where one is missing that it cannot do without. */
export const groupsIn = (folder: string, { groups }: Pass): GroupReference[] =>
  groups.flatMap((group) => reference(folder, group) ?? []);
