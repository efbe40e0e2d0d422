/** Temporary files beside their targets, for outputs that appear under their names only when they are whole. */
import { createHash, randomBytes } from "node:crypto";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";

/** Temporary files of this process that are not yet renamed; removed when it ends by itself. */
const pending = new Set<string>();
let cleaning = false;

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
 * removed when the process ends by itself, unless it was forgotten by then; what killed runs for the same target left
 * is removed now.
 */
export function temporaryFor(target: string): string {
  removeStale(target);
  const suffix = `${HOST}-${process.pid}-${randomBytes(4).toString("hex")}`;
  const temporary = path.join(path.dirname(target), `.${stemOf(target)}.${suffix}.tmp`);
  pending.add(temporary);
  if (!cleaning) {
    cleaning = true;
    process.on("exit", () => {
      for (const file of pending) fs.rmSync(file, { force: true });
    });
  }
  return temporary;
}

/** Lets a temporary file be, which has its name or is gone; false if it was forgotten before. */
export const forget = (temporary: string): boolean => pending.delete(temporary);

/** Removes temporary files that runs for the same target left behind on this machine, if their processes are gone. */
function removeStale(target: string): void {
  const folder = path.dirname(target);
  const start = `.${stemOf(target)}.${HOST}-`;
  for (const name of fs.readdirSync(folder)) {
    const match = name.startsWith(start) && /^(\d+)-[0-9a-f]{8}\.tmp$/.exec(name.slice(start.length));
    if (!match || pending.has(path.join(folder, name)) || isAlive(Number(match[1]))) continue;
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
