/** The text result of a script: to stdout, or to a file that appears only when it is whole. */
import { closeSync, fsyncSync, openSync, renameSync, rmSync, statSync } from "node:fs";
import { UserError } from "../errors.ts";
import { writeAll } from "./stderr.ts";

export interface TextOutput {
  /** Throws what the system throws (EPIPE when the reader has gone), UserError if the file cannot be written. */
  write(text: string): void;
  /** The file takes its name. Without it (an error, an interruption) `discard` leaves no trace. */
  commit(): void;
  discard(): void;
}

/** stdout for "-". A file is made at the first write, beside its target, and renamed by `commit`. */
export function textOutput(out: string, run: string): TextOutput {
  if (out === "-") return { write: (text) => writeAll(1, Buffer.from(text)), commit() {}, discard() {} };

  const part = `${out}.${run}.part`;
  let fd: number | undefined;
  const attempt = <T>(action: () => T): T => {
    try {
      return action();
    } catch (error) {
      throw new UserError(
        `--out: ${out} cannot be written (${(error as NodeJS.ErrnoException).code})`,
        "choose another place",
        1,
      );
    }
  };
  if (attempt(() => statSync(out, { throwIfNoEntry: false }))?.isDirectory())
    throw new UserError(`--out: ${out} is a folder`, "this script writes one file; name it");
  return {
    write(text) {
      attempt(() => {
        fd ??= openSync(part, "w");
        writeAll(fd, Buffer.from(text));
      });
    },
    commit() {
      if (fd === undefined) return;
      const file = fd;
      fd = undefined;
      attempt(() => {
        fsyncSync(file);
        closeSync(file);
        renameSync(part, out);
      });
    },
    discard() {
      if (fd === undefined) return;
      closeSync(fd);
      fd = undefined;
      rmSync(part, { force: true });
    },
  };
}
