/** What an error means to the person at the terminal, and to the shell. */
import { UserError } from "../errors.ts";
import { asLaunched } from "../launcher.ts";
import { say } from "./stderr.ts";

/** What to do about a bug. */
export const report = (): string =>
  asLaunched("  this is a bug in ingot; please report it with the output of `bun run doctor`");

/**
 * Errors of the system by their codes, with what to do. They can come from anywhere, so no file translates its own.
 */
const SYSTEM: Readonly<Record<string, readonly [string, string]>> = {
  ENOSPC: ["no space is left on the disk", "free some space, or write elsewhere with --out"],
  EDQUOT: ["the disk quota is used up", "free some space, or write elsewhere with --out"],
  EROFS: ["the file system is read-only", "write elsewhere with --out"],
  EIO: ["the system reports an input/output error", "look at the disk or the network share"],
  EMFILE: ["too many files are open", "raise the limit (ulimit -n)"],
  ENOMEM: ["the system has no memory left", "close other programs, or use a machine with more"],
};

/** True if the reader of a pipe has gone away. */
export const isClosedPipe = (error: unknown): boolean =>
  error instanceof Error && (error.name === "ClosedPipe" || (error as NodeJS.ErrnoException).code === "EPIPE");

/** One line for the log. */
export const messageOf = (error: unknown): string =>
  isClosedPipe(error) ? "the reader closed the pipe" : error instanceof Error ? error.message : String(error);

/**
 * Prints an error: a line and a hint, or the stack of a bug; nothing for a closed pipe. Returns the exit code.
 */
export function explain(name: string, error: unknown): number {
  if (isClosedPipe(error)) return 0;
  if (error instanceof UserError) {
    say(asLaunched(`${name}: ${error.message}${error.hint === undefined ? "" : `\n  hint: ${error.hint}`}`));
    return error.exitCode;
  }
  const { code, path } = error as NodeJS.ErrnoException;
  const known = error instanceof Error && SYSTEM[code ?? ""];
  if (known) say(`${name}: ${path ? `${path}: ` : ""}${known[0]} (${code})\n  hint: ${known[1]}`);
  else say(`${name}: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n${report()}`);
  return 1;
}
