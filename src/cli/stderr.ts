/**
 * Everything people read goes through here, to stderr: lines, and one status line that is redrawn in place.
 *
 * stdout carries a result and nothing else, so the console functions that print to stdout are pointed here as soon as
 * this file is imported (libraries log through them). Writes are synchronous: a message is out before the process can
 * end.
 */

import { Console } from "node:console";
import { writeSync } from "node:fs";
import { isatty } from "node:tty";

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
  toStderr(text.endsWith("\n") ? text : `${text}\n`);
}

/**
 * Draws the status line in place of the last one, cut to the width of the terminal. Call only if `stderrIsTerminal()`.
 */
export function drawStatus(text: string): void {
  const width = (process.stderr.columns || 80) - 1;
  const cut = Bun.stringWidth(text) > width ? `${text.slice(0, width - 1)}…` : text;
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

/** The methods of `console` that would print to stdout. */
const TO_STDOUT = ["log", "info", "debug", "table", "dir", "dirxml", "count", "timeEnd", "timeLog", "group"] as const;

let redirected: Console | undefined;
for (const name of TO_STDOUT) {
  const printer: Printer = (...values) => {
    clearStatus();
    redirected ??= new Console(process.stderr, process.stderr);
    (redirected[name] as Printer)(...values);
  };
  Object.assign(console, { [name]: printer });
}
