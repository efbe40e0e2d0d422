/**
 * Everything people read goes through here, to stderr: lines, and one status line that is redrawn in place. Names,
 * values and texts out of files are part of it, so what would steer a terminal is made visible here, for all of them.
 *
 * stdout carries a result and nothing else, so the console functions that print to stdout are pointed here as soon as
 * this file is imported (libraries log through them). Writes are synchronous: a message is out before the process can
 * end.
 */

import { Console } from "node:console";
import { writeSync } from "node:fs";
import { Writable } from "node:stream";
import { isatty } from "node:tty";
import { visible } from "../text/visible.ts";

/** True where a line can be redrawn: stderr is a terminal that knows the usual escapes. */
export const stderrIsTerminal = (): boolean => isatty(2) && process.env.TERM !== "dumb";

let statusShown = false;

/**
 * Writes all bytes to a file descriptor, waiting where a pipe is full. Errors of the system are thrown as they are
 * (EPIPE).
 */
export function writeAll(fd: number, bytes: Uint8Array): void {
  for (let at = 0; at < bytes.length; ) {
    try {
      at += writeSync(fd, bytes, at);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EAGAIN") throw error;
      Bun.sleepSync(1);
    }
  }
}

/**
 * Writes text to stdout: as it is into a pipe or a file; on a terminal, what would steer it is made visible. Errors of
 * the system are thrown as they are (EPIPE).
 */
export const writeText = (text: string): void => writeAll(1, Buffer.from(isatty(1) ? visible(text) : text));

function toStderr(text: string): void {
  try {
    writeAll(2, Buffer.from(text));
  } catch {
    // Nobody listens on stderr any more. That must not stop the work.
  }
}

/** Prints a line (or several) for people; the status line is taken away first. */
export function say(text: string): void {
  clearStatus();
  toStderr(visible(text.endsWith("\n") ? text : `${text}\n`));
}

/** Columns of a status line: one less than the terminal has, which would else begin a new line. */
export const statusWidth = (): number => (process.stderr.columns || 80) - 1;

/**
 * Draws the status line in place of the last one, cut to the width of the terminal. Call only if `stderrIsTerminal()`.
 */
export function drawStatus(text: string): void {
  const width = statusWidth();
  const line = visible(text).replaceAll(/\s/g, " ");
  const cut = Bun.stringWidth(line) > width ? `${line.slice(0, width - 1)}…` : line;
  toStderr(`\r${cut}\x1b[K`);
  statusShown = true;
}

/** Takes the status line away, if one is drawn. */
export function clearStatus(): void {
  if (!statusShown) return;
  statusShown = false;
  toStderr("\r\x1b[K");
}

type Printer = (...values: unknown[]) => void;

/** The methods of `console` that print. */
const PRINTING = [
  ...(["log", "info", "debug", "table", "dir", "dirxml", "count", "timeEnd", "timeLog", "group"] as const),
  ...(["error", "warn", "trace", "assert"] as const),
];

let redirected: Console | undefined;

/** A console whose every text goes the way of all others. */
function visibleConsole(): Console {
  const stream = new Writable({
    decodeStrings: false,
    write(chunk, _encoding, done) {
      toStderr(visible(String(chunk)));
      done();
    },
  });
  return new Console(stream, stream);
}

for (const name of PRINTING) {
  const printer: Printer = (...values) => {
    clearStatus();
    redirected ??= visibleConsole();
    (redirected[name] as Printer)(...values);
  };
  Object.assign(console, { [name]: printer });
}
