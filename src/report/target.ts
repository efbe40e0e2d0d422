/** The file that a report goes to. */
import fs from "node:fs";
import { UserError } from "../errors.ts";

function statOf(file: string): fs.BigIntStats | undefined {
  try {
    return file === "-" ? fs.fstatSync(0, { bigint: true }) : fs.statSync(file, { bigint: true });
  } catch {
    return undefined; // not there; who reads it says so
  }
}

/** Throws UserError for a folder, and for one of the logs, by whatever name: the log is the only record of its run. */
export function checkTarget(out: string, logs: readonly string[]): void {
  const target = out === "-" ? undefined : statOf(out);
  if (target?.isDirectory()) throw new UserError(`--out: ${out} is a folder`, "this script writes one file; name it");
  if (!target?.isFile()) return;
  for (const log of logs) {
    const source = statOf(log);
    if (source && source.ino === target.ino && source.dev === target.dev)
      throw new UserError(
        `--out: ${out} is the log ${log === "-" ? "on stdin" : log}, which the report would replace`,
        "choose another name: -o report.html",
      );
  }
}

/** Writes the file; it appears when it is whole. A pipe or a device gets the bytes as it stands. Throws UserError. */
export function writeTarget(out: string, bytes: string | Uint8Array, run: string): void {
  let part: string | undefined;
  try {
    const there = statOf(out);
    if (there && !there.isFile()) {
      fs.writeFileSync(out, bytes);
      return;
    }
    const file = there ? fs.realpathSync(out) : out; // a link stays a link
    part = `${file}.${run}.part`;
    fs.writeFileSync(part, bytes, { flush: true });
    fs.renameSync(part, file);
  } catch (error) {
    if (part !== undefined) fs.rmSync(part, { force: true });
    throw new UserError(
      `--out: ${out} cannot be written (${(error as NodeJS.ErrnoException).code})`,
      "choose another place",
      1,
    );
  }
}
