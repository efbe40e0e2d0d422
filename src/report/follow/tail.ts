/** The lines that are appended to a file, as `tail -f` has them. */
import fs from "node:fs";
import { UserError } from "../../errors.ts";

/** Bytes that are read at a time. */
const PIECE = 1 << 20;

export class Tail {
  readonly file: string;
  #at = 0;
  #inode: number | undefined;
  #rest = Buffer.alloc(0);

  constructor(file: string) {
    this.file = file;
  }

  /**
   * Whole lines that came since the last call; undefined while the file is not there. `again`: the file was cut short
   * or another one is in its place, and these are its lines from the start. Throws UserError where it cannot be read.
   */
  poll(): { readonly lines: readonly string[]; readonly again: boolean } | undefined {
    const found = this.#look();
    if (found === undefined) return undefined;
    const { size, ino } = found;
    const again = size < this.#at || (this.#inode !== undefined && ino !== this.#inode);
    this.#inode = ino;
    if (again) [this.#at, this.#rest] = [0, Buffer.alloc(0)];
    const lines: string[] = [];
    const fd = fs.openSync(this.file, "r");
    try {
      const piece = Buffer.alloc(Math.min(PIECE, Math.max(0, size - this.#at)));
      while (this.#at < size) {
        const length = fs.readSync(fd, piece, 0, Math.min(piece.length, size - this.#at), this.#at);
        if (length === 0) break;
        this.#at += length;
        const whole = Buffer.concat([this.#rest, piece.subarray(0, length)]);
        const end = whole.lastIndexOf(10) + 1;
        if (end > 0) lines.push(...whole.toString("utf8", 0, end - 1).split("\n"));
        this.#rest = whole.subarray(end);
      }
    } finally {
      fs.closeSync(fd);
    }
    return { lines, again };
  }

  #look(): { readonly size: number; readonly ino: number } | undefined {
    try {
      const stat = fs.statSync(this.file);
      if (stat.isDirectory()) throw new UserError(`${this.file} is a folder`, "name a log, as --log wrote it");
      return stat;
    } catch (error) {
      if (error instanceof UserError) throw error;
      const { code } = error as NodeJS.ErrnoException;
      if (code === "ENOENT") return undefined;
      throw new UserError(`${this.file} cannot be read (${code})`, "name a log, as --log wrote it");
    }
  }
}
