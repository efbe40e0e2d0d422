/** Files as torch.save writes them: pickles opcode by opcode, in an archive of stored entries. */

const text = (value: string) => new TextEncoder().encode(value);
const u16 = (value: number) => [value & 255, (value >> 8) & 255];
const u32 = (value: number) => [...u16(value & 0xffff), ...u16(value >>> 16)];

/** Opcodes as bytes: numbers are bytes, texts their UTF-8. */
export const ops = (...parts: (number | string | readonly number[] | Uint8Array)[]): Uint8Array =>
  Uint8Array.from(
    parts.flatMap((part) =>
      typeof part === "number" ? [part] : typeof part === "string" ? [...text(part)] : [...part],
    ),
  );

export const str = (value: string): Uint8Array => ops("X", u32(text(value).length), value);
export const int = (value: number): Uint8Array => (value < 256 ? ops("K", value) : ops("J", u32(value)));
export const global = (module: string, name: string): Uint8Array => ops("c", `${module}\n${name}\n`);
export const tuple = (...items: Uint8Array[]): Uint8Array => ops("(", ...items, "t");

/** A pickle of protocol 2 around what leaves one value on the stack. */
export const pickled = (...parts: Parameters<typeof ops>): Uint8Array => ops(0x80, 2, ...parts, ".");

export interface View {
  key: string;
  /** Name of the storage's class. */
  type?: string;
  /** Elements of the storage. */
  elements: number;
  offset?: number;
  shape: number[];
  strides?: number[];
}

export const storage = ({ key, type = "FloatStorage", elements }: View): Uint8Array =>
  ops(tuple(str("storage"), global("torch", type), str(key), str("cpu"), int(elements)), "Q");

/** A call of _rebuild_tensor_v2. */
export function tensor(view: View): Uint8Array {
  const strides = view.strides ?? view.shape.map((_, axis) => view.shape.slice(axis + 1).reduce((a, b) => a * b, 1));
  const empty = ops(global("collections", "OrderedDict"), ")R");
  const args = tuple(
    storage(view),
    int(view.offset ?? 0),
    tuple(...view.shape.map(int)),
    tuple(...strides.map(int)),
    ops(0x89),
    empty,
  );
  return ops(global("torch._utils", "_rebuild_tensor_v2"), args, "R");
}

export const dict = (entries: Record<string, Uint8Array>): Uint8Array =>
  ops("}(", ...Object.entries(entries).flatMap(([key, value]) => [str(key), value]), "u");

/** How an entry of the archive departs from a plain one. */
export interface Departure {
  method?: number;
  flags?: number;
  /** Bytes after the local header, as torch.save aligns storages. */
  padding?: number;
}

/** A zip archive of stored entries; zip64 where it is asked for. */
export function zipOf(
  entries: Record<string, Uint8Array>,
  { departures = {}, zip64 = false }: { departures?: Record<string, Departure>; zip64?: boolean } = {},
): Uint8Array<ArrayBuffer> {
  const parts: Uint8Array[] = [];
  const central: Uint8Array[] = [];
  let at = 0;
  const count = Object.keys(entries).length;
  for (const [name, bytes] of Object.entries(entries)) {
    const { method = 0, flags = 0, padding = 0 } = departures[name] ?? {};
    const sizes = [...u32(bytes.length), ...u32(bytes.length)];
    const fields = [...u16(20), ...u16(flags), ...u16(method), ...u32(0), ...u32(0)];
    const local = ops("PK\x03\x04", fields, sizes, u16(name.length), u16(padding), name, new Uint8Array(padding));
    const long = zip64
      ? ops(u16(1), u16(24), u32(bytes.length), u32(0), u32(bytes.length), u32(0), u32(at), u32(0))
      : [];
    const none = u32(0xffffffff);
    central.push(
      ops("PK\x01\x02", u16(20), fields, zip64 ? [...none, ...none] : sizes, u16(name.length), u16(long.length)),
      ops(u16(0), u16(0), u16(0), u32(0), zip64 ? none : u32(at), name, long),
    );
    parts.push(local, bytes);
    at += local.length + bytes.length;
  }
  const size = central.reduce((sum, { length }) => sum + length, 0);
  const end: Uint8Array[] = [];
  if (zip64) {
    const long = (value: number) => [...u32(value), ...u32(0)];
    const record = [...long(44), ...u16(45), ...u16(45), ...u32(0), ...u32(0), ...long(count), ...long(count)];
    end.push(ops("PK\x06\x06", record, long(size), long(at)), ops("PK\x06\x07", u32(0), long(at + size), u32(1)));
  }
  const counts = zip64 ? [...u16(0xffff), ...u16(0xffff)] : [...u16(count), ...u16(count)];
  const places = zip64 ? [...u32(0xffffffff), ...u32(0xffffffff)] : [...u32(size), ...u32(at)];
  end.push(ops("PK\x05\x06", u16(0), u16(0), counts, places, u16(0)));
  return Uint8Array.from(Buffer.concat([...parts, ...central, ...end]));
}

/** A whole file: the pickle, the storages by key, and what torch.save adds. */
export const torchFile = (
  pickle: Uint8Array,
  storages: Record<string, Uint8Array>,
  more: Parameters<typeof zipOf>[1] & { order?: string } = {},
): Uint8Array<ArrayBuffer> =>
  zipOf(
    {
      "archive/data.pkl": pickle,
      "archive/byteorder": text(more.order ?? "little"),
      ...Object.fromEntries(Object.entries(storages).map(([key, bytes]) => [`archive/data/${key}`, bytes])),
      "archive/version": text("3\n"),
    },
    more,
  );
