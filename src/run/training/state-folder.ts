/**
 * The folder of a saved state, and what a process that dies at any point leaves in it.
 *
 *   last/      the state
 *   .saving/   the next one while it is written, and until it is `last`
 *   .before/   the one that was `last`, until its successor is
 *   .removed/  what is being removed
 *
 * A folder is a state when it has training.json, which gets its name after everything else is on the disk. A state ends
 * by one rename, to `.removed`, which nobody reads. So whatever happens, each of the first three is a whole state or
 * none; while one takes the place of another at least one of the two is there, and the one with more steps counts.
 */
import fs from "node:fs";
import path from "node:path";
import { parseUploadRef } from "../../checkpoint/hub/upload.ts";
import { flushFolder } from "../../checkpoint/write/sink.ts";
import { UserError } from "../../errors.ts";
import { BEFORE, isState, isWhole, LAST, PLACES, PROGRESS, REMOVED, SAVING } from "./state-places.ts";

interface Saving {
  readonly options: { readonly save_every: number; readonly resume: boolean; readonly state?: string };
  readonly out: string;
  readonly dryRun: boolean;
}

/**
 * Where the state is saved: the folder that was named, beside a named result (here, for one on the Hub), nowhere for a
 * stream. `keeps`: whether it is to stay there.
 */
export function stateFolder({ options, out, dryRun }: Saving, keeps = false): string | undefined {
  if (dryRun || (options.save_every === 0 && !options.resume && !keeps)) return undefined;
  if (options.state !== undefined) return options.state;
  if (out === "-") return undefined;
  const local = out.startsWith("hf:") ? parseUploadRef(out).name.replace(/^.*\//, "") : out;
  return `${local.replace(/\/+$|\.(safetensors|gguf)$/, "")}-state`;
}

const flushes = (): boolean => process.env.INGOT_NO_FSYNC !== "1";

/** What stands at a place of a state and is not one, nor what one leaves; undefined when there is nothing such. */
export const foreignIn = (folder: string): string | undefined =>
  [LAST, BEFORE].map((place) => path.join(folder, place)).find((at) => fs.existsSync(at) && !isState(at));

/** A state that lacks a part: what a run that was over left when it was killed. */
export const leftoverIn = (folder: string): string | undefined =>
  PLACES.map((place) => path.join(folder, place)).find((at) => isState(at) && !isWhole(at));

/** Takes a state away: by one rename it is none. */
function discard(folder: string, place: string): void {
  const [at, removed] = [path.join(folder, place), path.join(folder, REMOVED)];
  fs.rmSync(removed, { recursive: true, force: true });
  if (!fs.existsSync(at)) return;
  fs.renameSync(at, removed);
  fs.rmSync(removed, { recursive: true, force: true });
}

/** Makes what stands at a place the last state. */
function promote(folder: string, place: string): void {
  const last = path.join(folder, LAST);
  if (place === SAVING && fs.existsSync(last)) {
    discard(folder, BEFORE);
    fs.renameSync(last, path.join(folder, BEFORE));
  }
  fs.renameSync(path.join(folder, place), last);
  if (flushes()) flushFolder(folder);
  discard(folder, BEFORE);
}

/** Brings a folder in order after a kill: `newest`, a whole state in it, becomes `last`; the others are removed. */
function settle(folder: string, newest: string | undefined): void {
  const place = newest && path.basename(newest);
  if (place === undefined || place === BEFORE) discard(folder, LAST);
  if (place !== undefined && place !== LAST) promote(folder, place);
  for (const other of [SAVING, BEFORE]) discard(folder, other);
}

/**
 * Puts a new state in the place of the one that is there. `newest` is the folder of the whole state that counts, if
 * any; `write` makes the new one's files but training.json, which holds `progress`. Throws UserError (exit 1) when the
 * folder cannot be written, and what `write` throws; the state before stays.
 */
export async function replaceState(
  folder: string,
  newest: string | undefined,
  progress: string,
  write: (saving: string) => Promise<void>,
): Promise<void> {
  const saving = path.join(folder, SAVING);
  try {
    fs.mkdirSync(folder, { recursive: true });
    settle(folder, newest);
    fs.mkdirSync(saving);
  } catch (error) {
    throw new UserError(
      `--state: ${folder} cannot be written (${(error as NodeJS.ErrnoException).code})`,
      "give another --state DIR, or --save-every 0",
      1,
    );
  }
  try {
    await write(saving);
    const file = path.join(saving, PROGRESS);
    writeFlushed(`${file}.tmp`, progress);
    fs.renameSync(`${file}.tmp`, file);
    if (flushes()) flushFolder(saving);
    promote(folder, SAVING);
  } catch (error) {
    if (!isState(saving)) fs.rmSync(saving, { recursive: true, force: true });
    throw error;
  }
}

function writeFlushed(file: string, text: string): void {
  const fd = fs.openSync(file, "w");
  try {
    fs.writeFileSync(fd, text);
    if (flushes()) fs.fsyncSync(fd);
  } finally {
    fs.closeSync(fd);
  }
}

/** Removes the state of a run that is over, and the folder when nothing else is in it. */
export function removeState(folder: string): void {
  for (const place of [SAVING, BEFORE, LAST]) discard(folder, place);
  try {
    fs.rmdirSync(folder);
  } catch {
    // the folder holds something else, which stays
  }
}
