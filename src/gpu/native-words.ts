/** What native code writes to stderr by itself while it is called. */
import { dlopen } from "bun:ffi";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";

const LIBRARIES: Readonly<Record<string, string>> = { linux: "libc.so.6", darwin: "/usr/lib/libSystem.B.dylib" };
const STDERR = 2;

/** The system's calls that give a file another number; undefined where they go by another name. */
function descriptors() {
  const library = LIBRARIES[process.platform];
  if (library === undefined) return undefined;
  try {
    return dlopen(library, {
      dup: { args: ["i32"], returns: "i32" },
      dup2: { args: ["i32", "i32"], returns: "i32" },
    }).symbols;
  } catch {
    return undefined;
  }
}

/**
 * Calls a function, which must not wait, and leaves out the lines that it writes to stderr and that match `known`. All
 * others are handed on when it ends, however it ends. Where the system has no such calls, all lines stay.
 */
export function withoutLines<T>(known: RegExp, call: () => T): T {
  const system = descriptors();
  const own = system?.dup(STDERR) ?? -1;
  if (!system || own < 0) return call();
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), "ingot-native-"));
  const file = path.join(folder, "stderr");
  const fd = fs.openSync(file, "w+");
  try {
    system.dup2(fd, STDERR);
    return call();
  } finally {
    system.dup2(own, STDERR);
    fs.closeSync(own);
    fs.closeSync(fd);
    const others = fs
      .readFileSync(file, "utf8")
      .split("\n")
      .filter((line) => line !== "" && !known.test(line));
    fs.rmSync(folder, { recursive: true });
    for (const line of others) fs.writeSync(STDERR, `${line}\n`);
  }
}
