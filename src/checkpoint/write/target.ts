/** What is at the place of an output before anything is written there, and whether it may be replaced. */
import fs from "node:fs";
import path from "node:path";
import { UserError } from "../../errors.ts";
import { show } from "../../json.ts";
import { writeError } from "./sink.ts";

/**
 * What is at a target now, if anything. Throws UserError where nothing could be: below a file, a name too long, a ring
 * of links.
 */
export function statOf(target: string): fs.Stats | undefined {
  try {
    return fs.statSync(target, { throwIfNoEntry: false });
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === "EACCES" || code === "EPERM") throw writeError(error, target);
    const cause =
      { ENOTDIR: "it is below a file", ENAMETOOLONG: "the name is too long", ELOOP: "its links form a loop" }[
        code ?? ""
      ] ?? message;
    throw new UserError(`${show(target)} cannot be written: ${cause}`, "choose another place");
  }
}

/**
 * Throws UserError when one of `names` in a folder exists and is not a regular file: a file cannot replace a folder,
 * and comparing with a FIFO would wait for its writer. Links are followed; broken ones are ignored.
 */
export function refuseUnlessFiles(folder: string, target: string, names: Iterable<string>): void {
  for (const name of names) {
    const stat = statOf(path.join(folder, name));
    if (stat === undefined || stat.isFile()) continue;
    const kind = stat.isDirectory() ? "a folder" : "not a regular file";
    throw new UserError(`${path.join(target, name)} is ${kind}; expected a file or nothing`, "move it away");
  }
}
