/**
 * The end of a process that no longer hears signals. Handlers in JavaScript run between other JavaScript only, so a
 * loop that never ends, or a call that waits inside the system, would make Ctrl-C and SIGTERM useless. A handler of the
 * system's, in deadline.c, hears them always: it starts a timer, then calls the one that Bun set up. When the timer
 * ends and nobody has moved it, it removes what is unfinished and ends the process.
 */
import { cc, dlopen, ptr } from "bun:ffi";
import { fileURLToPath } from "node:url";
import { unfinished } from "../temporary.ts";

export interface Deadline {
  /** Ends the process in so many ms, counted from now. */
  within(ms: number): void;
  /** Gives the signals back to those who had them before. */
  end(): void;
}

/** What dlsym takes for "any library that is loaded". */
const ANYWHERE = process.platform === "darwin" ? -2n : 0n;
const LIBRARIES = [
  "libc.so.6",
  "/usr/lib/libSystem.B.dylib",
  `libc.musl-${process.arch === "x64" ? "x86_64" : "aarch64"}.so.1`,
];

/** The C library's function that finds others; undefined where it goes by another name. */
function finder() {
  for (const library of LIBRARIES)
    try {
      return dlopen(library, { dlsym: { args: ["i64", "ptr"], returns: "ptr" } }).symbols.dlsym;
    } catch {
      // not this system's
    }
}

/** Addresses of functions in the order of `struct System`; undefined where one is missing. */
function systemFunctions(): BigUint64Array | undefined {
  const find = finder();
  const names = ["signal", "setitimer", "unlink", "rmdir", "write", "_exit"];
  const found = names.map((name) => find?.(ANYWHERE, Buffer.from(`${name}\0`)));
  return found.every((address) => address) ? BigUint64Array.from(found, (address) => BigInt(address!)) : undefined;
}

/** What the handlers point at stays for the life of the process. */
const held: unknown[] = [];

/**
 * Sets the handlers up, after those of `process.on`. From a signal on, JavaScript has `patience` ms to answer with
 * `within`; else the process prints `message` and ends with 128 and the number of the signal. Undefined where the
 * system has no such signals, or Bun no compiler for it; signals then wait for JavaScript.
 */
export function deadline(patience: number, message: string): Deadline | undefined {
  if (process.platform === "win32") return undefined;
  try {
    const functions = systemFunctions();
    if (!functions) return undefined;
    const { symbols } = cc({
      source: fileURLToPath(new URL("./deadline.c", import.meta.url)),
      flags: "-nostdlib",
      symbols: {
        begin: { args: ["ptr", "ptr", "ptr", "i32", "i32"], returns: "void" },
        within: { args: ["i32"], returns: "void" },
        end: { args: [], returns: "void" },
      },
    });
    const text = Buffer.from(message);
    held.push(functions, text, symbols);
    symbols.begin(ptr(functions), ptr(unfinished.bytes), ptr(text), text.length, patience);
    return { within: (ms) => symbols.within(ms), end: () => symbols.end() };
  } catch {
    return undefined;
  }
}
