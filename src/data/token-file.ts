/**
 * Sequences of tokens on disk: written while rows are read, then mapped into memory, so that the system holds as many
 * of their pages as it has room for, and no more.
 *
 * `<name>-0.i32`, `<name>-1.i32`, ... hold ids and then, where some do not count, labels, one sequence after the other.
 * `<name>.index` comes last and makes the rest valid: a line of JSON, then per sequence its length (negative: no labels
 * of its own; plus 2^30: its row was cut), then the places, one a line.
 */
import fs from "node:fs";
import { forget, temporaryFor } from "../temporary.ts";
import type { Sequence } from "./sequences.ts";

/** Bytes of one mapped file: an ArrayBuffer holds no more than 4 GB, and a file of rows may. */
const SEGMENT = 2 ** 28;
const BUFFER = 2 ** 18;
const BYTES = 4;
/** Added to the length of a sequence whose row was cut. */
const CUT = 2 ** 30;

/**
 * All that a sequence is. A field that this file did not keep would be lost, so it is an error here; rows with marks
 * or a weight are not kept at all (dataset.ts).
 */
type Kept = "ids" | "labels" | "group" | "place" | "isCut" | "marks" | "weight";
const KEPT: Record<Exclude<keyof Sequence, Kept>, never> = {};

/** What is known of the rows beside their sequences. */
export interface RowsKept {
  readonly rows: number;
  /** The first row that was cut. */
  readonly cut?: { readonly place: string; readonly tokens: number } | undefined;
}

export interface StoredTokens extends RowsKept {
  readonly sequences: Sequence[];
}

/** How many bytes a sequence takes: ids, and labels of their own. */
const valuesOf = (length: number, hasLabels: boolean): number => (hasLabels ? 2 : 1) * length;

/** The file of the next sequence, and where it begins there. Writer and reader cut at the same places. */
class Cursor {
  segment = 0;
  /** Values before it. */
  at = 0;

  take(values: number): { segment: number; at: number } {
    if (this.at > 0 && (this.at + values) * BYTES > SEGMENT) [this.segment, this.at] = [this.segment + 1, 0];
    const place = { segment: this.segment, at: this.at };
    this.at += values;
    return place;
  }
}

const segmentFile = (name: string, segment: number): string => `${name}-${segment}.i32`;
const indexFile = (name: string): string => `${name}.index`;

/** Writes sequences under a name. `ref` begins their places and is left out of them. */
export class TokenWriter {
  readonly #name: string;
  readonly #ref: string;
  readonly #cursor = new Cursor();
  readonly #lengths: number[] = [];
  readonly #places: string[] = [];
  readonly #temporaries: string[] = [];
  #fd: number | undefined;
  #held = new Uint8Array(BUFFER);
  #end = 0;

  constructor(name: string, ref: string) {
    [this.#name, this.#ref] = [name, ref];
    void KEPT;
  }

  /** Throws what the system throws. */
  add({ ids, labels, place, isCut = false }: Sequence): void {
    const hasLabels = labels !== ids;
    const { segment } = this.#cursor.take(valuesOf(ids.length, hasLabels));
    if (segment === this.#temporaries.length) this.#begin(segment);
    this.#write(ids);
    if (hasLabels) this.#write(labels);
    const stated = ids.length + (isCut ? CUT : 0);
    this.#lengths.push(hasLabels ? stated : -stated);
    this.#places.push(place.slice(this.#ref.length));
  }

  /** Gives the files their names, the index last. */
  finish(kept: RowsKept): void {
    this.#close();
    for (const [segment, file] of this.#temporaries.entries()) rename(file, segmentFile(this.#name, segment));
    this.#temporaries.length = 0;
    const { cut } = kept;
    const about = {
      ...kept,
      cut: cut && { ...cut, place: cut.place.slice(this.#ref.length) },
      sequences: this.#lengths.length,
    };
    const index = temporaryFor(indexFile(this.#name));
    const fd = fs.openSync(index, "w");
    fs.writeSync(fd, `${JSON.stringify(about)}\n`);
    const lengths = Int32Array.from(this.#lengths);
    fs.writeSync(fd, new Uint8Array(lengths.buffer));
    for (let i = 0; i < this.#places.length; i += 4096)
      fs.writeSync(fd, `${this.#places.slice(i, i + 4096).join("\n")}\n`);
    fs.fsyncSync(fd);
    fs.closeSync(fd);
    rename(index, indexFile(this.#name));
  }

  /** Takes away what is not finished. */
  discard(): void {
    if (this.#fd !== undefined) fs.closeSync(this.#fd);
    this.#fd = undefined;
    for (const file of this.#temporaries) {
      fs.rmSync(file, { force: true });
      forget(file);
    }
    this.#temporaries.length = 0;
  }

  #begin(segment: number): void {
    this.#close();
    const file = temporaryFor(segmentFile(this.#name, segment));
    this.#temporaries.push(file);
    this.#fd = fs.openSync(file, "w");
  }

  #write(values: Int32Array): void {
    const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
    if (this.#end + bytes.length > this.#held.length) this.#flush();
    if (bytes.length > this.#held.length) writeAll(this.#fd!, bytes);
    else {
      this.#held.set(bytes, this.#end);
      this.#end += bytes.length;
    }
  }

  #flush(): void {
    writeAll(this.#fd!, this.#held.subarray(0, this.#end));
    this.#end = 0;
  }

  #close(): void {
    if (this.#fd === undefined) return;
    this.#flush();
    fs.fsyncSync(this.#fd);
    fs.closeSync(this.#fd);
    this.#fd = undefined;
  }
}

function writeAll(fd: number, bytes: Uint8Array): void {
  for (let at = 0; at < bytes.length; ) at += fs.writeSync(fd, bytes, at, bytes.length - at);
}

function rename(temporary: string, target: string): void {
  fs.renameSync(temporary, target);
  forget(temporary);
}

/** Maps what was stored under a name; undefined unless all of it is there. Changes to it stay in this process. */
export function readTokens(name: string, ref: string, group: number): StoredTokens | undefined {
  let index: Uint8Array;
  try {
    index = fs.readFileSync(indexFile(name));
  } catch {
    return undefined;
  }
  const end = index.indexOf(0x0a) + 1;
  const about = JSON.parse(new TextDecoder().decode(index.subarray(0, end))) as RowsKept & { sequences: number };
  const from = end + about.sequences * BYTES;
  const lengths = new Int32Array(new Uint8Array(index.subarray(end, from)).buffer);
  const places = new TextDecoder().decode(index.subarray(from)).split("\n");
  const segments: Int32Array[] = [];
  const cursor = new Cursor();
  const sequences: Sequence[] = [];
  for (const [i, stated] of lengths.entries()) {
    const isCut = Math.abs(stated) >= CUT;
    const length = Math.abs(stated) - (isCut ? CUT : 0);
    const { segment, at } = cursor.take(valuesOf(length, stated > 0));
    if (segment === segments.length) {
      const mapped = mapValues(segmentFile(name, segment));
      if (!mapped) return undefined;
      segments.push(mapped);
    }
    const values = segments[segment]!;
    if (at + valuesOf(length, stated > 0) > values.length) return undefined;
    const ids = values.subarray(at, at + length);
    const labels = stated > 0 ? values.subarray(at + length, at + 2 * length) : ids;
    sequences.push({ ids, labels, group, place: ref + places[i]!, ...(isCut && { isCut }) });
  }
  const { rows, cut } = about;
  return { sequences, rows, cut: cut && { ...cut, place: ref + cut.place } };
}

function mapValues(file: string): Int32Array | undefined {
  try {
    const bytes = Bun.mmap(file, { shared: false });
    return new Int32Array(bytes.buffer, bytes.byteOffset, Math.floor(bytes.byteLength / BYTES));
  } catch {
    return undefined;
  }
}
