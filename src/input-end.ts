/** What there is to say of an input that ended too early: what it comes from decides who is to blame. */
import fs from "node:fs";
import path from "node:path";
import { isatty } from "node:tty";
import { UserError } from "./errors.ts";

const PIPE_FAILED = "the command before the pipe failed; its message is above";

/** The path of the file that a descriptor is open on, as seen from here; undefined where the system does not tell. */
function pathOf(fd: number): string | undefined {
  try {
    const found = fs.readlinkSync(`/proc/self/fd/${fd}`);
    const below = path.relative(process.cwd(), found);
    return below === "" || below.startsWith("..") ? found : below;
  } catch {
    return undefined; // not Linux
  }
}

/** What the descriptor is: "pipe" also where the system does not tell. */
function kindOf(fd: number): "pipe" | "file" | "terminal" | "device" {
  try {
    const stat = fs.fstatSync(fd);
    if (stat.isFile()) return "file";
    if (stat.isCharacterDevice()) return isatty(fd) ? "terminal" : "device";
  } catch {} // closed meanwhile
  return "pipe";
}

/** Why an input may have ended before its end, for a hint. */
export function earlyEndHint(fd: number): string {
  if (kindOf(fd) !== "file") return PIPE_FAILED;
  return `${pathOf(fd) ?? "the file"} was not written to its end, or was cut since`;
}

/** The error for an input without a byte; `what` names it: "stdin". */
export function emptyInput(what: string, fd: number): UserError {
  const kind = kindOf(fd);
  if (kind === "pipe") return new UserError(`${what} was empty`, PIPE_FAILED);
  if (kind === "terminal") return new UserError(`${what} was empty: nothing was typed`, "type, pipe, or name a file");
  const found = pathOf(fd);
  const named = found === undefined || found === what ? "" : `: it is ${found}`;
  return kind === "file"
    ? new UserError(`${what} was empty${named}`, "the file has 0 bytes; is it the right one?")
    : new UserError(`${what} was empty${named}`, "nothing was piped in: pipe something, or name a file in its place");
}
