/**
 * Memory for the structs that a native call reads.
 *
 * The native side sees addresses, which the garbage collector does not: a struct, a string or an array that only an
 * address points to may be collected, and its memory given to something else, before the call reads it. Here all of
 * them lie in blocks that the arena holds, so who holds the arena holds everything that was packed into it.
 */
import { type Pointer, ptr } from "bun:ffi";

/** Bytes and alignment of a field. A `text` is a WGPUStringView: an address and a length. */
const KINDS = { u32: [4, 4], u64: [8, 8], f64: [8, 8], pointer: [8, 8], text: [16, 8] } as const;

type Kind = keyof typeof KINDS;
export type Fields = Readonly<Record<string, Kind>>;

/** An address; null and undefined are the null pointer. */
export type Address = number | bigint | null | undefined;

type Value<K extends Kind> = K extends "text" ? string | undefined : K extends "pointer" ? Address : number;

/** Values by field name. A field that is left out is zero. */
export type Values<F extends Fields> = { readonly [name in keyof F]?: Value<F[name]> };

/** The layout of a C struct. */
export interface Struct<F extends Fields = Fields> {
  readonly bytes: number;
  readonly fields: readonly { readonly name: keyof F & string; readonly kind: Kind; readonly offset: number }[];
}

const roundUp = (value: number, step: number): number => Math.ceil(value / step) * step;

/**
 * A struct as C lays it out: each field at the next multiple of its alignment. A nested struct is written field by
 * field in its place; that is the same layout where it is aligned to 8 bytes and fills them.
 *
 *     const SIZE = struct({ nextInChain: "pointer", width: "u32", height: "u32" }); // 16 bytes
 */
export function struct<const F extends Fields>(fields: F): Struct<F> {
  let offset = 0;
  const placed = Object.entries(fields).map(([name, kind]) => {
    const [bytes, alignment] = KINDS[kind];
    const at = roundUp(offset, alignment);
    offset = at + bytes;
    return { name, kind, offset: at };
  });
  return { bytes: roundUp(offset, 8), fields: placed };
}

const BLOCK_BYTES = 16 << 10;
const TWO_32 = 2 ** 32;

/** One piece of memory. It is held, never resized, and does not move, so its address stays good. */
class Block {
  readonly bytes: Buffer<ArrayBuffer>;
  readonly view: DataView;
  readonly address: number;

  constructor(size: number) {
    const memory = new ArrayBuffer(size);
    this.bytes = Buffer.from(memory);
    this.view = new DataView(memory);
    this.address = Number(ptr(memory));
  }
}

/** A stack of structs. What a `frame` packs stays in place until the frame ends. */
export class Arena {
  #block = new Block(BLOCK_BYTES);
  /** Blocks that became too small and that an open frame may still use. */
  readonly #outgrown: Block[] = [];
  readonly #held: unknown[] = [];
  #used = 0;

  /**
   * Runs `call` and then frees what it packed. Frames nest, because a native call can call back into code that makes
   * another call.
   *
   *     arena.frame(() => create(device, arena.pack(BUFFER_DESCRIPTOR, { size: 256, usage: 0x80 })));
   */
  frame<T>(call: () => T): T {
    const [used, held] = [this.#used, this.#held.length];
    try {
      return call();
    } finally {
      this.#used = used;
      this.#held.length = held;
      if (used === 0) this.#outgrown.length = 0;
    }
  }

  /** Zeroed memory, aligned to 8 bytes: its place in the current block. */
  #reserve(bytes: number): number {
    const at = this.#used;
    const end = at + roundUp(bytes, 8);
    const { byteLength } = this.#block.bytes;
    if (end > byteLength) {
      this.#outgrown.push(this.#block);
      this.#block = new Block(Math.max(2 * byteLength, end));
    }
    this.#block.bytes.fill(0, at, end);
    this.#used = end;
    return at;
  }

  #address(at: number): Pointer {
    return (this.#block.address + at) as Pointer;
  }

  /** Zeroed memory for the native side to write to. */
  room(bytes: number): Pointer {
    return this.#address(this.#reserve(bytes));
  }

  /** Copies a string; its address and its length in bytes. */
  #text(value: string): [address: number, bytes: number] {
    const bytes = Buffer.byteLength(value);
    const at = this.#reserve(bytes + 1); // the zero behind it makes it a C string
    this.#block.bytes.write(value, at);
    return [this.#address(at), bytes];
  }

  /** Packs a struct. */
  pack<F extends Fields>(layout: Struct<F>, values: Values<F>): Pointer {
    return this.array(layout, [values])!;
  }

  /** Packs structs one behind the other; null when there are none. */
  array<F extends Fields>(layout: Struct<F>, list: readonly Values<F>[]): Pointer | null {
    if (list.length === 0) return null;
    const start = this.#reserve(layout.bytes * list.length);
    const { view, address } = this.#block; // strings may outgrow the block; the structs stay in this one
    for (let i = 0; i < list.length; i++) {
      const values = list[i]!;
      for (const { name, kind, offset } of layout.fields) {
        const value = values[name];
        if (value === undefined || value === null) continue;
        const at = start + i * layout.bytes + offset;
        if (kind === "u32") view.setUint32(at, value as number, true);
        else if (kind === "f64") view.setFloat64(at, value as number, true);
        else if (kind === "text") {
          const [text, bytes] = this.#text(value as string);
          writeWord(view, at, text);
          writeWord(view, at + 8, bytes);
        } else writeWord(view, at, Number(value));
      }
    }
    return (address + start) as Pointer;
  }

  /** Holds memory that is the caller's own until the frame ends; the address of its byte `offset`. */
  hold(memory: Uint8Array, offset = 0): Pointer {
    this.#held.push(memory);
    return ptr(memory, offset) as Pointer;
  }

  /** Packs an array of pointers; null when there are none. */
  pointers(addresses: readonly Address[]): Pointer | null {
    if (addresses.length === 0) return null;
    const at = this.#reserve(8 * addresses.length);
    for (const [i, address] of addresses.entries()) writeWord(this.#block.view, at + 8 * i, Number(address ?? 0));
    return this.#address(at);
  }

  /** Packs zero-terminated strings and an array of their addresses. */
  strings(list: readonly string[]): Pointer | null {
    return this.pointers(list.map((text) => this.#text(text)[0]));
  }

  /** Packs 32-bit words; null when there are none. */
  words(list: readonly number[]): Pointer | null {
    if (list.length === 0) return null;
    const at = this.#reserve(4 * list.length);
    for (const [i, word] of list.entries()) this.#block.view.setUint32(at + 4 * i, word, true);
    return this.#address(at);
  }
}

/** A 64-bit value from a number up to 2^53, without the BigInt that `setBigUint64` would take. */
function writeWord(view: DataView, at: number, value: number): void {
  view.setUint32(at, value % TWO_32, true);
  view.setUint32(at + 4, value / TWO_32, true);
}
