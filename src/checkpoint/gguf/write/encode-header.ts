/** The header of a GGUF file (version 3, little-endian) as bytes: the opposite of ../header.ts. */

/** A value of the metadata with its type. Lists are of one type; texts are UTF-8. */
export type GgufValue =
  | { readonly type: "u32" | "i32" | "f32"; readonly value: number }
  | { readonly type: "bool"; readonly value: boolean }
  | { readonly type: "text"; readonly value: string }
  | { readonly type: "texts"; readonly value: readonly string[] }
  | { readonly type: "bools"; readonly value: readonly boolean[] }
  | { readonly type: "i32s" | "f32s"; readonly value: readonly number[] };

export type GgufEntries = Map<string, GgufValue>;

export const u32 = (value: number): GgufValue => ({ type: "u32", value });
export const f32 = (value: number): GgufValue => ({ type: "f32", value });
export const bool = (value: boolean): GgufValue => ({ type: "bool", value });
export const text = (value: string): GgufValue => ({ type: "text", value });

/** A line of the table of tensors; `shape` outermost first, `offset` from the start of the data. */
export interface TableLine {
  readonly name: string;
  readonly number: number;
  readonly shape: readonly number[];
  readonly offset: number;
}

/** Bytes that the data and every tensor in it begin at a multiple of. */
export const ALIGNMENT = 32;
export const aligned = (bytes: number): number => Math.ceil(bytes / ALIGNMENT) * ALIGNMENT;

const NUMBERS = { u32: 4, i32: 5, f32: 6, bool: 7, text: 8, list: 9 } as const;

type List = Extract<GgufValue, { readonly value: readonly unknown[] }>;
const isList = (value: GgufValue): value is List => Array.isArray(value.value);

/** Magic, version, metadata and table, padded to where the data begins. */
export function encodeGgufHeader(entries: GgufEntries, tensors: readonly TableLine[]): Uint8Array {
  const out = new Bytes();
  out.raw(Buffer.from("GGUF"));
  out.u32(3);
  out.u64(tensors.length);
  out.u64(entries.size);
  for (const [key, value] of entries) {
    out.text(key);
    out.value(value);
  }
  for (const { name, number, shape, offset } of tensors) {
    out.text(name);
    out.u32(shape.length);
    for (const side of shape.toReversed()) out.u64(side);
    out.u32(number);
    out.u64(offset);
  }
  return out.padded();
}

class Bytes {
  #buffer = Buffer.alloc(1 << 16);
  #at = 0;

  #room(bytes: number): number {
    const at = this.#at;
    this.#at += bytes;
    if (this.#at > this.#buffer.length) {
      const larger = Buffer.alloc(Math.max(this.#at, 2 * this.#buffer.length));
      this.#buffer.copy(larger);
      this.#buffer = larger;
    }
    return at;
  }

  raw(bytes: Uint8Array): void {
    const at = this.#room(bytes.length);
    this.#buffer.set(bytes, at);
  }

  u32(value: number): void {
    const at = this.#room(4);
    this.#buffer.writeUInt32LE(value, at);
  }

  u64(value: number): void {
    const at = this.#room(8);
    this.#buffer.writeBigUInt64LE(BigInt(value), at);
  }

  text(value: string): void {
    const bytes = Buffer.from(value, "utf8");
    this.u64(bytes.length);
    this.raw(bytes);
  }

  value(value: GgufValue): void {
    if (isList(value)) {
      const element = value.type.slice(0, -1) as "text" | "i32" | "f32" | "bool";
      this.u32(NUMBERS.list);
      this.u32(NUMBERS[element]);
      this.u64(value.value.length);
      for (const one of value.value) this.#scalar(element, one);
      return;
    }
    this.u32(NUMBERS[value.type]);
    this.#scalar(value.type, value.value);
  }

  #scalar(type: "u32" | "i32" | "f32" | "bool" | "text", value: number | boolean | string): void {
    if (type === "text") this.text(String(value));
    else if (type === "bool") this.raw(Uint8Array.of(value ? 1 : 0));
    else {
      const at = this.#room(4);
      if (type === "f32") this.#buffer.writeFloatLE(Number(value), at);
      else if (type === "i32") this.#buffer.writeInt32LE(Number(value), at);
      else this.#buffer.writeUInt32LE(Number(value), at);
    }
  }

  padded(): Uint8Array {
    this.#room(aligned(this.#at) - this.#at);
    return new Uint8Array(this.#buffer.subarray(0, this.#at));
  }
}
