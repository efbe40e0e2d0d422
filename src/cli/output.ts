/** The text result of a script: to stdout, a pipe or a device, or to a file that appears only when it is whole. */
import {
  closeSync,
  existsSync,
  fsyncSync,
  lstatSync,
  openSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
} from "node:fs";
import { UserError } from "../errors.ts";
import { forget, temporaryFor } from "../temporary.ts";
import { writeAll, writeText } from "./stderr.ts";

export interface TextOutput {
  /** Throws what the system throws (EPIPE when the reader has gone), UserError if the file cannot be written. */
  write(text: string | Uint8Array): void;
  /** The file takes its name. Without it (an error, an interruption) `discard` leaves no trace. */
  commit(): void;
  discard(): void;
}

const bytesOf = (text: string | Uint8Array): Uint8Array => (typeof text === "string" ? Buffer.from(text) : text);

/**
 * stdout for "-". A FIFO or a device takes what is written as it comes. A file is made at the first write, beside its
 * target, and renamed by `commit`; of a link the file that it leads to is replaced.
 */
export function textOutput(out: string, flag = "--out"): TextOutput {
  if (out === "-" || out === "/dev/stdout")
    return {
      write: (text) => (typeof text === "string" ? writeText(text) : writeAll(1, text)),
      commit() {},
      discard() {},
    };

  let fd: number | undefined;
  let part: string | undefined;
  const attempt = <T>(action: () => T): T => {
    try {
      return action();
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "EPIPE") throw error;
      throw new UserError(
        `${flag}: ${out} cannot be written (${(error as NodeJS.ErrnoException).code})`,
        "choose another place",
        1,
      );
    }
  };
  const stat = attempt(() => statSync(out, { throwIfNoEntry: false }));
  if (stat?.isDirectory()) throw new UserError(`${flag}: ${out} is a folder`, "this script writes one file; name it");
  const isFile = stat === undefined || stat.isFile();
  const isLink = lstatSync(out, { throwIfNoEntry: false })?.isSymbolicLink() && existsSync(out);
  return {
    write(text) {
      attempt(() => {
        if (fd === undefined && isFile) {
          part = temporaryFor(isLink ? realpathSync(out) : out);
          fd = openSync(part, "wx");
        }
        fd ??= openSync(out, "w");
        writeAll(fd, bytesOf(text));
      });
    },
    commit() {
      if (fd === undefined) return;
      const file = fd;
      fd = undefined;
      attempt(() => {
        if (part !== undefined) fsyncSync(file);
        closeSync(file);
        if (part === undefined) return;
        renameSync(part, isLink ? realpathSync(out) : out);
        forget(part);
      });
    },
    discard() {
      if (fd === undefined) return;
      closeSync(fd);
      fd = undefined;
      if (part !== undefined && forget(part)) rmSync(part, { force: true });
    },
  };
}
