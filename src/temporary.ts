/** Temporary files beside their targets, for outputs that appear under their names only when they are whole. */
import { createHash, randomBytes } from "node:crypto";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";

/** What an entry of the list is. */
const [GONE, FILE, FOLDER] = [1, 2, 3] as const;

/**
 * What this process has begun and not finished; removed when it ends by itself. The list stands in plain memory, where
 * a handler of signals reads it while no JavaScript runs (src/cli/deadline.c): for each entry a byte that says what it
 * is, an absolute path, a zero; a zero ends the list. What finds no room there is known here only.
 */
class Unfinished {
  readonly bytes = new Uint8Array(2 ** 18);
  readonly #places = new Map<string, { readonly kind: number; readonly at: number | undefined }>();
  #end = 0;

  add(name: string, kind: number): void {
    if (this.#places.size === 0) this.#end = 0;
    const text = Buffer.from(path.resolve(name));
    const at = this.#end;
    const isHeld = at + text.length + 3 <= this.bytes.length;
    this.#places.set(name, { kind, at: isHeld ? at : undefined });
    if (!isHeld) return;
    this.bytes.set(text, at + 1);
    this.bytes.fill(0, at + 1 + text.length, at + 3 + text.length);
    this.#end = at + text.length + 2;
    Atomics.store(this.bytes, at, kind); // last, so that a reader finds the whole path or the end
  }

  has(name: string): boolean {
    return this.#places.has(name);
  }

  /** False if it is not in the list. */
  remove(name: string): boolean {
    const at = this.#places.get(name)?.at;
    if (at !== undefined) Atomics.store(this.bytes, at, GONE);
    return this.#places.delete(name);
  }

  /** Removes all of it from the disk: files, and folders that are then empty. */
  sweep(): void {
    for (const [file, { kind }] of this.#places) if (kind === FILE) fs.rmSync(file, { force: true });
    for (const [folder, { kind }] of this.#places) if (kind === FOLDER) removeIfEmpty(folder);
  }
}

export const unfinished = new Unfinished();
let isSweeping = false;

function begin(name: string, kind: number): void {
  unfinished.add(name, kind);
  if (isSweeping) return;
  isSweeping = true;
  process.on("exit", () => unfinished.sweep());
}

/** Removes a folder unless something is in it; false if it stays. */
function removeIfEmpty(folder: string): boolean {
  try {
    fs.rmdirSync(folder);
    return true;
  } catch {
    return false;
  }
}

/**
 * Makes a folder and those above it. Returns functions for its end: `keep` when it holds a result, `remove` takes what
 * was made away again, as far as it is empty: another process may be at work in it. Throws what the system throws.
 */
export function makeFolder(folder: string): { keep(): void; remove(): void } {
  const first = fs.mkdirSync(folder, { recursive: true });
  const made: string[] = [];
  for (let at = folder; first !== undefined && at.startsWith(first); at = path.dirname(at)) made.push(at);
  for (const each of made) begin(each, FOLDER);
  const keep = () => {
    for (const each of made) unfinished.remove(each);
  };
  return {
    keep,
    remove() {
      keep();
      for (const each of made) if (!removeIfEmpty(each)) return;
    },
  };
}

/** Marks this machine in temporary names: a process id says nothing about another machine on the same network disk. */
const HOST = createHash("sha256").update(os.hostname()).digest("hex").slice(0, 6);

/**
 * Names the target in its temporary file's name. Most systems allow 255 bytes, of which the rest of the name takes some
 * 40.
 */
function stemOf(target: string): string {
  const name = path.basename(target);
  if (Buffer.byteLength(name) <= 200) return name;
  return `${name.replace(/[^ -~]/g, "_").slice(0, 100)}-${createHash("sha256").update(name).digest("hex").slice(0, 16)}`;
}

/**
 * A name beside `target` for what will take its place, `.<name>.<host>-<pid>-<random>.tmp`. What is made there is
 * removed when the process ends by itself or by a signal, unless it was forgotten by then; what killed runs for the
 * same target left is removed now.
 */
export function temporaryFor(target: string): string {
  removeStale(target);
  const suffix = `${HOST}-${process.pid}-${randomBytes(4).toString("hex")}`;
  const temporary = path.join(path.dirname(target), `.${stemOf(target)}.${suffix}.tmp`);
  begin(temporary, FILE);
  return temporary;
}

/** Lets a temporary file be, which has its name or is gone; false if it was forgotten before. */
export const forget = (temporary: string): boolean => unfinished.remove(temporary);

/** Removes temporary files that runs for the same target left behind on this machine, if their processes are gone. */
function removeStale(target: string): void {
  const folder = path.dirname(target);
  const start = `.${stemOf(target)}.${HOST}-`;
  for (const name of fs.readdirSync(folder)) {
    const match = name.startsWith(start) && /^(\d+)-[0-9a-f]{8}\.tmp$/.exec(name.slice(start.length));
    if (!match || unfinished.has(path.join(folder, name)) || isAlive(Number(match[1]))) continue;
    fs.rmSync(path.join(folder, name), { force: true });
  }
}

function isAlive(pid: number): boolean {
  if (pid === process.pid) return false; // not one of ours, so of an earlier process that had our number
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}
