/**
 * Positional reads of one open file.
 *
 * Reads go through the thread pool (pread), so the disk works while the main thread talks to the GPU. Mapping the file
 * would not be faster (warm, both copy at the speed of memory), and a mapped file that another program cuts short kills
 * the process with SIGBUS; here it is an error like any other. The descriptor stays open from the check of the header
 * to the last byte: a file replaced by name meanwhile, even by our own output, is still read as it was.
 */
import fs from "node:fs";
import { UserError } from "../errors.ts";
import { type Header, headerLength, PREFIX_BYTES, parseHeader } from "./safetensors/header.ts";

/** Bytes asked for in one call; the kernel serves at most 2 GiB less a page. */
const MAX_READ = 2 ** 30;

/** Reads up to `length` bytes; 0 at the end of the file. `position` null reads where the descriptor stands. */
export function readSome(fd: number, into: Uint8Array, at: number, length: number, position: number | null) {
  return new Promise<number>((resolve, reject) => {
    fs.read(fd, into, at, Math.min(length, MAX_READ), position, (error, n) => (error ? reject(error) : resolve(n)));
  });
}

/** An open regular file. `what` names it in messages. */
export class Source {
  readonly #fd: number;
  readonly what: string;
  readonly size: number;
  #reads = 0;
  #closed = false;

  private constructor(fd: number, what: string, size: number) {
    this.#fd = fd;
    this.what = what;
    this.size = size;
  }

  /** Opens a regular file. Throws UserError when it is missing, unreadable or something else (a pipe). */
  static open(path: string, what: string): Source {
    let fd: number;
    try {
      // Without O_NONBLOCK (absent on Windows), opening a named pipe in place of a file would wait for its writer.
      fd = fs.openSync(path, fs.constants.O_RDONLY | (fs.constants.O_NONBLOCK ?? 0));
    } catch (error) {
      throw openError(error as NodeJS.ErrnoException, what);
    }
    const stat = fs.fstatSync(fd);
    if (!stat.isFile()) {
      fs.closeSync(fd);
      throw new UserError(`${what} is not a regular file`, "expected a file with the weights");
    }
    return new Source(fd, what, stat.size);
  }

  /**
   * Fills `into` with the bytes at `position`. Throws UserError (exit 1) when the file ends before, RangeError once
   * closed.
   */
  async read(into: Uint8Array, position: number, place = this.what): Promise<void> {
    if (this.#closed) throw new RangeError(`${this.what} is closed`);
    this.#reads++;
    try {
      for (let done = 0; done < into.length; ) {
        const n = await readSome(this.#fd, into, done, into.length - done, position + done).catch((error) => {
          throw new UserError(`${place} could not be read: ${(error as Error).message}`, "check the disk", 1);
        });
        if (n === 0) {
          const end = (position + done).toLocaleString("en-US");
          throw new UserError(
            `${place} ended at byte ${end} while it was read; it had ${this.size.toLocaleString("en-US")} bytes`,
            "another program changed the file; run again when it is done",
            1,
          );
        }
        done += n;
      }
    } finally {
      this.#reads--;
      if (this.#closed && this.#reads === 0) fs.closeSync(this.#fd);
    }
  }

  /** Closes the file once pending reads are done: a descriptor closed under them could be reused for another file. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    if (this.#reads === 0) fs.closeSync(this.#fd);
  }

  /** Reads and checks the safetensors header. Throws UserError as `parseHeader` does. */
  async header(): Promise<Header> {
    const prefix = new Uint8Array(Math.min(PREFIX_BYTES, this.size));
    await this.read(prefix, 0);
    const json = new Uint8Array(headerLength(prefix, this.what, this.size));
    await this.read(json, PREFIX_BYTES);
    return parseHeader(json, this.what, this.size);
  }

  /** The first bytes, at most `length` of them, to recognise the kind of file. */
  async start(length: number): Promise<Uint8Array> {
    const bytes = new Uint8Array(Math.min(length, this.size));
    await this.read(bytes, 0);
    return bytes;
  }
}

export function openError(error: NodeJS.ErrnoException, what: string): UserError {
  if (error.code === "ENOENT" || error.code === "ENOTDIR") {
    const hub = /^[\w.-]+\/[\w.-]+$/.test(what) && !what.startsWith(".") ? what : "org/name";
    return new UserError(
      `${what}: no such file or folder`,
      `check the spelling; a model of the Hub is written hf:${hub}`,
    );
  }
  if (error.code === "EACCES" || error.code === "EPERM") {
    return new UserError(`${what} may not be read`, "check its permissions");
  }
  if (error.code === "EISDIR") return new UserError(`${what} is a folder; expected a file`, "name the file in it");
  if (error.code === "ELOOP") return new UserError(`${what} is a link in a loop of links`, "name the file itself");
  if (error.code === "ENAMETOOLONG") return new UserError(`${what}: the name is too long for a file`, "check the path");
  if (error.code === "EMFILE" || error.code === "ENFILE") {
    return new UserError(`${what} could not be opened: too many open files`, "raise the limit with ulimit -n", 1);
  }
  return new UserError(`${what} could not be opened: ${error.message}`, "check the path", 1);
}
