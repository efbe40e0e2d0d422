/** Where a stream keeps bytes that are wanted later. */
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { UserError } from "../../errors.ts";
import { readSome } from "../source.ts";

/**
 * A temporary file without a name that holds parts of the data at their positions in the stream, with holes between.
 */
export class Spool {
  #fd: number | undefined;
  /** Kept only where an open file cannot be unlinked (Windows). */
  #path: string | undefined;
  /** Ranges held, in ascending order, merged where they touch. */
  readonly #held: { begin: number; end: number }[] = [];

  has(begin: number, end: number): boolean {
    return begin >= end || this.#held.some((range) => range.begin <= begin && end <= range.end);
  }

  async write(bytes: Uint8Array, begin: number): Promise<void> {
    if (bytes.length === 0) return;
    this.#fd ??= this.#create();
    const fd = this.#fd;
    for (let done = 0; done < bytes.length; ) {
      done += await new Promise<number>((resolve, reject) => {
        fs.write(fd, bytes, done, bytes.length - done, begin + done, (error, n) =>
          error ? reject(error) : resolve(n),
        );
      }).catch((error) => {
        const hint = "free space there, or set TMPDIR to a folder with more";
        throw new UserError(`Tensors of a stream could not be kept in ${os.tmpdir()}: ${error.message}`, hint, 1);
      });
    }
    // The position in the stream only grows, so ranges arrive in order.
    const last = this.#held.at(-1);
    if (last?.end === begin) last.end += bytes.length;
    else this.#held.push({ begin, end: begin + bytes.length });
  }

  async read(into: Uint8Array, begin: number): Promise<void> {
    for (let done = 0; done < into.length; ) {
      const n = await readSome(this.#fd!, into, done, into.length - done, begin + done);
      if (n === 0) throw new UserError(`The temporary file in ${os.tmpdir()} was cut short`, undefined, 1);
      done += n;
    }
  }

  #create(): number {
    const file = path.join(os.tmpdir(), `ingot-spool-${process.pid}-${Math.random().toString(36).slice(2)}`);
    let fd: number;
    try {
      fd = fs.openSync(file, "wx+", 0o600);
    } catch (error) {
      throw new UserError(`No temporary file in ${os.tmpdir()}: ${(error as Error).message}`, "set TMPDIR", 1);
    }
    try {
      fs.unlinkSync(file);
    } catch {
      this.#path = file;
    }
    return fd;
  }

  close(): void {
    if (this.#fd !== undefined) fs.closeSync(this.#fd);
    if (this.#path !== undefined) fs.rmSync(this.#path, { force: true });
    this.#fd = undefined;
    this.#path = undefined;
  }
}
