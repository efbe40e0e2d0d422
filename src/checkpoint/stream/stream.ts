/**
 * A checkpoint that arrives through a pipe: header first, then the tensors, each read once as it comes.
 *
 * Memory is bounded by the caller's buffers. A read in the order of the bytes goes straight into them. A read further
 * ahead puts the bytes it passes into a spool, an unnamed temporary file, and a read further back finds them there.
 * Bytes that went to a caller are gone, unless their tensor was retained: then the spool gets a copy.
 *
 * Reads are asynchronous, because a producer may be slow and the GPU needs the main thread. A pipe hands over 64 KiB at
 * a time either way: 1.0-1.1 GB/s asynchronously, 0.7-1.3 GB/s with readSync, 0.9 GB/s through Bun.stdin.stream(), each
 * between two processes on two shared cores.
 */
import fs from "node:fs";
import { UserError } from "../../errors.ts";
import { earlyEndHint, emptyInput } from "../../input-end.ts";
import { show } from "../../json.ts";
import type { Checkpoint, TensorEntry } from "../checkpoint.ts";
import { refuseOtherKinds } from "../file-kind.ts";
import { LINEAGE_KEY, parseLineage } from "../lineage/lineage.ts";
import { type Header, headerLength, type PlacedTensor, PREFIX_BYTES, parseHeader } from "../safetensors/header.ts";
import { filesOfMetadata } from "../safetensors/metadata.ts";
import { readSome } from "../source.ts";
import { Spool } from "./spool.ts";

/** What only a stream can do; see `isStream`. */
export interface StreamCheckpoint extends Checkpoint {
  readonly kind: "stream";
  /**
   * Keeps a tensor's bytes once they are read, for another pass. Throws RangeError when some of them are gone already.
   */
  retain(name: string): void;
  /** Reads what is left and throws UserError unless the stream ends where its header says. */
  finish(): Promise<void>;
}

export const isStream = (checkpoint: Checkpoint): checkpoint is StreamCheckpoint => "retain" in checkpoint;

const CHUNK = 2 ** 20;
const count = (n: number): string => n.toLocaleString("en-US");

/** Reads a stream's header; `what` names the stream in messages. Closes `fd` with the checkpoint when it `owns` it. */
export async function openStream(fd: number, what: string, ref: string, owns = false): Promise<StreamCheckpoint> {
  const pipe = new Pipe(fd, what, owns);
  try {
    const header = await readHeader(pipe, what);
    const files = filesOfMetadata(header.metadata, what);
    const lineage = parseLineage(header.metadata.get(LINEAGE_KEY), what);
    const tape = new Tape(pipe, header, what);
    const tensors = new Map<string, TensorEntry>();
    for (const tensor of header.tensors) tensors.set(tensor.name, tape.entry(tensor));
    return {
      ref,
      kind: "stream",
      tensors,
      files,
      lineage,
      headerSha256: header.sha256,
      retain: (name) => tape.retain(name),
      finish: () => tape.finish(),
      close: () => tape.close(),
    };
  } catch (error) {
    pipe.close();
    throw error;
  }
}

async function readHeader(pipe: Pipe, what: string): Promise<Header> {
  const start = new Uint8Array(PREFIX_BYTES + 1);
  let got = 0;
  while (got < start.length) {
    const n = await pipe.read(start, got, start.length - got);
    if (n === 0) break;
    got += n;
  }
  if (got === 0) throw emptyInput(what, pipe.fd);
  refuseOtherKinds(start.subarray(0, got), what);
  const length = headerLength(start.subarray(0, Math.min(got, PREFIX_BYTES)), what);
  // Grown as bytes arrive: the length is only a claim until then.
  let json = new Uint8Array(Math.min(length, CHUNK));
  json[0] = start[PREFIX_BYTES]!;
  let done = Math.min(got - PREFIX_BYTES, 1);
  while (done < length) {
    if (done === json.length) {
      const more = new Uint8Array(Math.min(length, 2 * json.length));
      more.set(json);
      json = more;
    }
    const n = await pipe.read(json, done, json.length - done);
    if (n === 0) {
      throw new UserError(
        `${what} was cut short: it ended at byte ${count(PREFIX_BYTES + done)}, inside its header of ${count(length)} bytes`,
        earlyEndHint(pipe.fd),
      );
    }
    done += n;
  }
  return parseHeader(json, what);
}

/** The descriptor, read strictly in order. */
class Pipe {
  readonly fd: number;
  readonly #what: string;
  readonly #owns: boolean;
  #reading = false;
  #closed = false;

  constructor(fd: number, what: string, owns: boolean) {
    this.fd = fd;
    this.#what = what;
    this.#owns = owns;
  }

  /** Reads up to `length` bytes; 0 at the end. */
  async read(into: Uint8Array, at: number, length: number): Promise<number> {
    if (this.#closed) throw new RangeError(`${this.#what} is closed`);
    this.#reading = true;
    try {
      for (let wait = 1; ; wait = Math.min(2 * wait, 50)) {
        try {
          return await readSome(this.fd, into, at, length, null);
        } catch (error) {
          const { code, message } = error as NodeJS.ErrnoException;
          if (code === "EOF" || code === "EPIPE") return 0; // Windows reports the end of a pipe so
          if (code === "EISDIR") throw new UserError(`${this.#what} is a folder`, "name the folder as an argument");
          if (code === "EBADF") throw new UserError(`${this.#what} is not open`, "pipe a checkpoint in, or name one");
          // A parent that made the pipe non-blocking for itself made it so for us.
          if (code !== "EAGAIN") throw new UserError(`${this.#what} could not be read: ${message}`, undefined, 1);
          await new Promise((resolve) => setTimeout(resolve, wait));
        }
      }
    } finally {
      this.#reading = false;
      if (this.#closed && this.#owns) fs.closeSync(this.fd);
    }
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    if (this.#owns && !this.#reading) fs.closeSync(this.fd);
  }
}

/**
 * The data of a stream: what is still to come, and the spool of what was passed. Positions count from the first data
 * byte.
 */
class Tape {
  readonly #pipe: Pipe;
  readonly #header: Header;
  readonly #what: string;
  readonly #spool = new Spool();
  readonly #retained = new Set<string>();
  readonly #byName: ReadonlyMap<string, PlacedTensor>;
  #position = 0;
  #queue: Promise<unknown> = Promise.resolve();

  constructor(pipe: Pipe, header: Header, what: string) {
    this.#pipe = pipe;
    this.#header = header;
    this.#what = what;
    this.#byName = new Map(header.tensors.map((tensor) => [tensor.name, tensor]));
  }

  entry(tensor: PlacedTensor): TensorEntry {
    const { name, dtype, shape, bytes, begin } = tensor;
    const place = `${this.#what}: tensor ${show(name)}`;
    return {
      name,
      dtype,
      shape,
      bytes,
      read: async (into, offset) => {
        if (offset < 0 || offset + into.length > bytes) {
          throw new RangeError(`${place} has ${bytes} bytes; asked for ${into.length} at ${offset}`);
        }
        await this.#inTurn(() => this.#read(into, begin + offset, this.#retained.has(name)));
      },
    };
  }

  retain(name: string): void {
    const tensor = this.#byName.get(name);
    if (tensor === undefined) throw new RangeError(`${this.#what} has no tensor ${show(name)}`);
    const passed = Math.min(this.#position, tensor.begin + tensor.bytes);
    if (passed > tensor.begin && !this.#spool.has(tensor.begin, passed)) {
      throw new RangeError(`${this.#what}: tensor ${show(name)} was read before it was retained`);
    }
    this.#retained.add(name);
  }

  /** One after the other: the pipe has one end, and its order is the order of the calls. */
  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#queue.then(work);
    this.#queue = turn.catch(() => {});
    return turn;
  }

  async #read(into: Uint8Array, begin: number, keep: boolean): Promise<void> {
    const end = begin + into.length;
    if (begin < this.#position) {
      const passed = Math.min(end, this.#position);
      if (!this.#spool.has(begin, passed)) {
        throw new RangeError(
          `${this.#what}: data byte ${count(begin)} was read twice; a stream keeps what is retained`,
        );
      }
      await this.#spool.read(into.subarray(0, passed - begin), begin);
      if (passed < end) await this.#read(into.subarray(passed - begin), passed, keep);
      return;
    }
    if (begin > this.#position) await this.#pass(begin, true);
    await this.#take(into);
    if (keep) await this.#spool.write(into, begin);
  }

  /** Moves on to `until`, through the spool or not. */
  async #pass(until: number, spool: boolean): Promise<void> {
    const chunk = new Uint8Array(Math.min(CHUNK, until - this.#position));
    while (this.#position < until) {
      const at = this.#position;
      const part = chunk.subarray(0, Math.min(chunk.length, until - at));
      await this.#take(part);
      if (spool) await this.#spool.write(part, at);
    }
  }

  async #take(into: Uint8Array): Promise<void> {
    for (let done = 0; done < into.length; ) {
      const n = await this.#pipe.read(into, done, into.length - done);
      if (n === 0) throw this.#cutShort();
      done += n;
      this.#position += n;
    }
  }

  #cutShort(): UserError {
    const at = this.#position;
    const { tensors, dataStart, dataBytes } = this.#header;
    const torn = tensors.find(({ begin, bytes }) => at < begin + bytes)!;
    return new UserError(
      `${this.#what} was cut short: it ended in tensor ${show(torn.name)} (byte ${count(at - torn.begin)} of ${count(torn.bytes)}), at byte ${count(dataStart + at)} of ${count(dataStart + dataBytes)}`,
      earlyEndHint(this.#pipe.fd),
    );
  }

  finish(): Promise<void> {
    return this.#inTurn(async () => {
      const { dataStart, dataBytes } = this.#header;
      await this.#pass(dataBytes, false);
      if ((await this.#pipe.read(new Uint8Array(1), 0, 1)) > 0) {
        throw new UserError(
          `${this.#what} has trailing bytes: more follows byte ${count(dataStart + dataBytes)}, where its last tensor ends`,
          "a pipe carries one safetensors file; was something else printed to it?",
        );
      }
    });
  }

  close(): void {
    this.#pipe.close();
    this.#queue.then(() => this.#spool.close());
  }
}
