/**
 * Where bytes go: a descriptor that takes them in order (a pipe), or a file that appears under its name only when it is
 * whole.
 *
 * Writes run on the thread pool, so they overlap with the GPU's work, and each takes the caller's own buffer.
 */
import fs from "node:fs";
import { UserError } from "../../errors.ts";
import { forget, temporaryFor } from "../../temporary.ts";

/** The reader of our output went away. Not a failure: the command line stops quietly. */
export class ClosedPipe extends Error {
  override readonly name = "ClosedPipe";
  constructor() {
    super("the reader of the output went away");
  }
}

export interface Sink {
  /**
   * Takes all of `bytes`; they may be changed once the promise resolves. They go after what was written before, or to
   * the place `at` of a file, which a pipe cannot.
   */
  write(bytes: Uint8Array, at?: number): Promise<void>;
  abort(): Promise<void>;
}

/** One write, of at most 1 GiB: some systems refuse more than 2 GiB at once. */
function writeSome(fd: number, bytes: Uint8Array, at: number, position: number | null): Promise<number> {
  return new Promise((resolve, reject) => {
    const length = Math.min(bytes.length - at, 2 ** 30);
    fs.write(fd, bytes, at, length, position, (error, n) => (error ? reject(error) : resolve(n)));
  });
}

/** stdout, a FIFO or a device. */
export class PipeSink implements Sink {
  readonly #fd: number;
  readonly #what: string;

  constructor(fd: number, what: string) {
    this.#fd = fd;
    this.#what = what;
  }

  /** Throws ClosedPipe when nobody reads any more, UserError (exit 1) on every other failure. */
  async write(bytes: Uint8Array): Promise<void> {
    let wait = 1;
    for (let done = 0; done < bytes.length; ) {
      try {
        done += await writeSome(this.#fd, bytes, done, null);
        wait = 1;
      } catch (error) {
        const { code } = error as NodeJS.ErrnoException;
        // EOF is what Windows reports for a closed pipe.
        if (code === "EPIPE" || code === "EOF" || code === "ECONNRESET") throw new ClosedPipe();
        if (code !== "EAGAIN") throw writeError(error, this.#what);
        // A non-blocking pipe that is full: its reader is slower than we are.
        await new Promise((resolve) => setTimeout(resolve, wait));
        wait = Math.min(2 * wait, 50);
      }
    }
  }

  async abort(): Promise<void> {}
}

/**
 * A file under a temporary name beside its target, `.<name>.<host>-<pid>-<random>.tmp`: bytes, then `seal` (flushed and
 * closed), then `publish` (renamed). Killed at any point it leaves the target as it was, and a temporary file that the
 * next run for the same target removes.
 */
export class FileSink implements Sink {
  readonly target: string;
  readonly #what: string;
  readonly #temporary: string;
  readonly #fd: number;
  readonly #flush: boolean;
  #at = 0;
  #open = true;

  /** Opens the temporary file. `what` is the target as the user wrote it. Throws UserError (exit 1) when it cannot. */
  constructor(target: string, what: string, flush: boolean) {
    this.target = target;
    this.#what = what;
    this.#flush = flush;
    this.#temporary = temporaryFor(target);
    try {
      this.#fd = fs.openSync(this.#temporary, "wx");
    } catch (error) {
      throw writeError(error, what);
    }
  }

  /** Throws UserError (exit 1) when the disk is full or fails; the temporary file is gone then. */
  async write(bytes: Uint8Array, at = this.#at): Promise<void> {
    try {
      for (let done = 0; done < bytes.length; ) done += await writeSome(this.#fd, bytes, done, at + done);
      this.#at = at + bytes.length;
    } catch (error) {
      await this.abort();
      throw writeError(error, this.#what);
    }
  }

  /**
   * Flushes and closes. After it, `publish` cannot leave a file with missing bytes, whatever happens to the machine.
   */
  async seal(): Promise<void> {
    try {
      if (this.#flush) await promise((done) => fs.fsync(this.#fd, done));
      this.#open = false;
      fs.closeSync(this.#fd);
    } catch (error) {
      await this.abort();
      throw writeError(error, this.#what);
    }
  }

  /**
   * Gives the file its name in one step. An older file of that name stays readable where it is open, so the output may
   * take the place of an input that is still being read.
   */
  publish(): void {
    try {
      fs.renameSync(this.#temporary, this.target);
    } catch (error) {
      throw writeError(error, this.#what);
    }
    forget(this.#temporary);
  }

  async abort(): Promise<void> {
    if (this.#open) {
      this.#open = false;
      fs.closeSync(this.#fd);
    }
    if (forget(this.#temporary)) fs.rmSync(this.#temporary, { force: true });
  }
}

const promise = (start: (done: (error?: Error | null) => void) => void): Promise<void> =>
  new Promise((resolve, reject) => start((error) => (error ? reject(error) : resolve())));

/** Makes renames in a folder last. Systems that cannot flush a folder do so by themselves, or not at all. */
export function flushFolder(folder: string): void {
  try {
    const fd = fs.openSync(folder, "r");
    try {
      fs.fsyncSync(fd);
    } finally {
      fs.closeSync(fd);
    }
  } catch {
    // Windows opens no folders; some network disks flush none.
  }
}

export function writeError(error: unknown, what: string): unknown {
  const { code, message } = error as NodeJS.ErrnoException;
  if (error instanceof UserError || code === undefined) return error;
  if (code === "ENOSPC" || code === "EDQUOT") {
    const cause = code === "EDQUOT" ? "the quota is used up" : "no space is left on the disk";
    return new UserError(`${what} could not be written: ${cause}`, "free space, or write to another disk", 1);
  }
  if (code === "EFBIG") {
    const cause = "the file would be larger than is allowed here";
    return new UserError(`${what} could not be written: ${cause}`, "see ulimit -f, or write shards", 1);
  }
  if (code === "EACCES" || code === "EPERM" || code === "EROFS") {
    return new UserError(`${what} may not be written`, "check the permissions of its folder", 1);
  }
  if (code === "ENAMETOOLONG") {
    return new UserError(`${what} could not be written: the name is too long`, "choose a shorter name");
  }
  if (code === "ENOENT") return new UserError(`${what} could not be written: its folder is gone`, "create it again", 1);
  return new UserError(`${what} could not be written: ${message}`, "check the disk", 1);
}
