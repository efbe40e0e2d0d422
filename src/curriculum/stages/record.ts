/**
 * What a stage leaves about itself in its folder: its command, hashes of what it read and of what it made. A finished
 * stage is run again where one of them is another now.
 */
import {
  createReadStream,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { UserError } from "../../errors.ts";
import { isObject, parseJson } from "../../json.ts";
import type { PlannedStage } from "./plan.ts";

export const RECORD = "stage.json";

export interface StageRecord {
  readonly stage: string;
  readonly words: readonly string[];
  /** Files and folders that were read, with their hashes. */
  readonly reads: Readonly<Record<string, string>>;
  /** Hash of what was made; null while it is not whole. */
  readonly made: string | null;
  readonly seconds: number | null;
  readonly version: string;
}

const isRecord = (value: unknown): value is StageRecord =>
  isObject(value) &&
  Array.isArray(value.words) &&
  isObject(value.reads) &&
  (value.made === null || typeof value.made === "string");

/** SHA-256 of a file, or of a folder's files with their names; "" where there is nothing. */
export async function digestOf(path: string): Promise<string> {
  if (!existsSync(path)) return "";
  const hash = new Bun.CryptoHasher("sha256");
  if (statSync(path).isDirectory()) {
    for (const name of readdirSync(path).sort()) hash.update(`${name}\0${await digestOf(join(path, name))}\0`);
    return hash.digest("hex");
  }
  if (!statSync(path).isFile()) throw new UserError(`${path} is no file or folder`, "stages read files");
  for await (const part of createReadStream(path)) hash.update(part);
  return hash.digest("hex");
}

/** Hashes of all that a stage reads, now. */
export async function readsOf({ reads }: PlannedStage): Promise<Record<string, string>> {
  const found: Record<string, string> = {};
  for (const path of reads) found[path] = await digestOf(path);
  return found;
}

/** The record of a stage's folder; undefined where there is none that can be read. */
export function recordOf({ folder }: PlannedStage): StageRecord | undefined {
  const file = join(folder, RECORD);
  if (!existsSync(file)) return undefined;
  const { value } = parseJson(readFileSync(file, "utf8"), file);
  if (!isRecord(value))
    throw new UserError(`${file} is no record of a stage`, "remove it, or choose another folder with --to");
  return value;
}

export function writeRecord({ folder }: PlannedStage, record: StageRecord): void {
  mkdirSync(folder, { recursive: true });
  const file = join(folder, RECORD);
  writeFileSync(`${file}.new`, `${JSON.stringify(record, null, 2)}\n`);
  renameSync(`${file}.new`, file);
}

/** "new": it never ran. "stopped": it goes on. "changed": it runs anew. "done": it is not run again. */
export type State = "new" | "stopped" | "changed" | "done";

const same = (a: unknown, b: unknown): boolean => JSON.stringify(a) === JSON.stringify(b);

/** How far a stage is, given the hashes of what it reads. */
export async function stateOf(stage: PlannedStage, reads: Readonly<Record<string, string>>): Promise<State> {
  const record = recordOf(stage);
  if (!record) return "new";
  if (!same(record.words, stage.words) || !same(record.reads, reads)) return "changed";
  if (record.made === null) return "stopped";
  return record.made === (await digestOf(join(stage.folder, stage.makes))) ? "done" : "changed";
}

/** Throws UserError where the folder of a stage holds what no stage left there. */
export function checkFolder({ name, folder }: PlannedStage): void {
  if (!existsSync(folder)) return;
  const isOther =
    !statSync(folder).isDirectory() || (readdirSync(folder).length > 0 && !existsSync(join(folder, RECORD)));
  if (isOther)
    throw new UserError(
      `stage ${name} writes to ${folder}, where something else is`,
      "choose another folder with --to, or remove what is there",
    );
}

/** Removes what a stage left, before it runs anew. */
export const clear = ({ folder }: PlannedStage): void => rmSync(folder, { recursive: true, force: true });
