/** Whether two groups are the same rows: what compares them would compare a file with itself. */
import fs from "node:fs";
import type { GroupReference } from "./groups.ts";

const CHUNK = 1 << 20; // bytes

/** Whether two files of one size hold the same bytes; a chunk of each is in memory. */
function sameBytes(first: string, second: string): boolean {
  const files = [first, second].map((file) => fs.openSync(file, "r")) as [number, number];
  try {
    const [one, other] = [Buffer.alloc(CHUNK), Buffer.alloc(CHUNK)];
    for (;;) {
      const n = fs.readSync(files[0], one, 0, CHUNK, null);
      const m = fs.readSync(files[1], other, 0, CHUNK, null);
      if (n !== m || one.compare(other, 0, m, 0, n) !== 0) return false;
      if (n === 0) return true;
    }
  } finally {
    for (const file of files) fs.closeSync(file);
  }
}

/**
 * Whether two groups have one path, are one file, or are files of the same bytes. False for what cannot be told before
 * it is read: a pipe, data of the Hub, a file that is missing.
 */
export function sameRows(first: GroupReference, second: GroupReference): boolean {
  if (first.path === second.path) return first.path !== "-";
  const [one, other] = [first, second].map(({ path }) => fs.statSync(path, { throwIfNoEntry: false }));
  if (!one?.isFile() || !other?.isFile()) return false;
  return (
    (one.dev === other.dev && one.ino === other.ino) || (one.size === other.size && sameBytes(first.path, second.path))
  );
}
