/**
 * The entries of a zip archive whose files are stored as they are, as PyTorch writes it, with zip64 for large ones.
 *
 * Only the directory at the end is read. Each entry's place is held against the file, and against its own header.
 * Format: https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT
 */
import { UserError } from "../../errors.ts";
import { show } from "../../json.ts";
import type { Source } from "../source.ts";

/** A stored file: where its bytes are in the archive. */
export interface ZipEntry {
  readonly name: string;
  readonly begin: number;
  readonly size: number;
}

const DAMAGED = "the file is damaged or was not copied completely; fetch it again";
const LOCAL = 0x04034b50;
const CENTRAL = 0x02014b50;
const END = 0x06054b50;
const END64 = 0x06064b50;
const END64_LOCATOR = 0x07064b50;
/** The end record with the longest comment. */
const MAX_END = 22 + 0xffff;
const MAX_DIRECTORY = 64 * 2 ** 20;
/** A field of this value stands in the zip64 extension. */
const IN_EXTENSION = 0xffffffff;

/** Where the directory is. */
interface Directory {
  readonly begin: number;
  readonly size: number;
  readonly count: number;
}

const viewOf = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

async function bytesAt(source: Source, begin: number, size: number): Promise<Uint8Array> {
  if (!(begin >= 0 && size >= 0 && begin + size <= source.size)) {
    throw new UserError(`${source.what}: a part of its zip directory lies outside the file`, DAMAGED);
  }
  const bytes = new Uint8Array(size);
  await source.read(bytes, begin);
  return bytes;
}

/**
 * Entries by name, in the order of the directory. Throws UserError when the archive is damaged, or an entry is
 * compressed, encrypted, repeated or over another.
 */
export async function readZip(source: Source): Promise<Map<string, ZipEntry>> {
  const directory = await findDirectory(source);
  const bytes = await bytesAt(source, directory.begin, directory.size);
  const view = viewOf(bytes);
  const entries = new Map<string, ZipEntry>();
  let at = 0;
  for (let i = 0; i < directory.count; i++) {
    if (at + 46 > bytes.length || view.getUint32(at, true) !== CENTRAL) {
      throw new UserError(`${source.what}: its zip directory is cut short at entry ${i + 1}`, DAMAGED);
    }
    const lengths = [28, 30, 32].map((field) => view.getUint16(at + field, true));
    const end = at + 46 + lengths[0]! + lengths[1]! + lengths[2]!;
    if (end > bytes.length) throw new UserError(`${source.what}: its zip directory is cut short`, DAMAGED);
    const name = new TextDecoder().decode(bytes.subarray(at + 46, at + 46 + lengths[0]!));
    if (entries.has(name)) throw new UserError(`${source.what} has the entry ${show(name)} twice`, DAMAGED);
    const extra = bytes.subarray(at + 46 + lengths[0]!, at + 46 + lengths[0]! + lengths[1]!);
    entries.set(name, await entryOf(source, name, view, at, extra));
    at = end;
  }
  checkOverlap([...entries.values()], directory.begin, source.what);
  return entries;
}

async function findDirectory(source: Source): Promise<Directory> {
  const length = Math.min(MAX_END, source.size);
  const tail = await bytesAt(source, source.size - length, length);
  const view = viewOf(tail);
  let at = tail.length - 22;
  // The comment must reach exactly to the end: a signature inside it is none.
  while (at >= 0 && !(view.getUint32(at, true) === END && view.getUint16(at + 20, true) === tail.length - 22 - at))
    at--;
  if (at < 0) throw new UserError(`${source.what} is a zip file without its directory`, DAMAGED);
  let found = {
    begin: view.getUint32(at + 16, true),
    size: view.getUint32(at + 12, true),
    count: view.getUint16(at + 10, true),
  };
  if (at >= 20 && view.getUint32(at - 20, true) === END64_LOCATOR) {
    const place = Number(view.getBigUint64(at - 12, true));
    const record = viewOf(await bytesAt(source, place, 56));
    if (record.getUint32(0, true) !== END64) throw new UserError(`${source.what} has a damaged zip64 record`, DAMAGED);
    const [count, size, begin] = [32, 40, 48].map((field) => Number(record.getBigUint64(field, true)));
    found = { begin: begin!, size: size!, count: count! };
  }
  if (found.size > MAX_DIRECTORY || found.count * 46 > found.size) {
    throw new UserError(
      `${source.what} says its zip directory has ${found.count} entries in ${found.size} bytes`,
      DAMAGED,
    );
  }
  return found;
}

async function entryOf(source: Source, name: string, view: DataView, at: number, extra: Uint8Array): Promise<ZipEntry> {
  const what = `${source.what}: ${show(name)}`;
  if ((view.getUint16(at + 8, true) & 1) !== 0) throw new UserError(`${what} is encrypted`, "decrypt the file first");
  const method = view.getUint16(at + 10, true);
  if (method !== 0) {
    throw new UserError(
      `${what} is compressed (method ${method})`,
      "PyTorch stores its files as they are; save it again",
    );
  }
  const [size, stored, begin] = sizesOf(view, at, extra, what);
  if (size !== stored) throw new UserError(`${what} has two sizes, ${size} and ${stored}`, DAMAGED);
  const local = viewOf(await bytesAt(source, begin, 30));
  if (local.getUint32(0, true) !== LOCAL)
    throw new UserError(`${what} does not begin where the directory says`, DAMAGED);
  const data = begin + 30 + local.getUint16(26, true) + local.getUint16(28, true);
  if (data + size > source.size) throw new UserError(`${what} ends at byte ${data + size}, after the file`, DAMAGED);
  return { name, begin: data, size };
}

/** Size, stored size and offset, from the zip64 extension where the entry says so. */
function sizesOf(view: DataView, at: number, extra: Uint8Array, what: string): [number, number, number] {
  const plain = [24, 20, 42].map((field) => view.getUint32(at + field, true));
  const long = viewOf(extra);
  let place = 0;
  while (place + 4 <= extra.length && long.getUint16(place, true) !== 1) place += 4 + long.getUint16(place + 2, true);
  place += 4;
  const sizes = plain.map((value) => {
    if (value !== IN_EXTENSION) return value;
    if (place + 8 > extra.length) throw new UserError(`${what} lacks its zip64 sizes`, DAMAGED);
    place += 8;
    return Number(long.getBigUint64(place - 8, true));
  });
  if (sizes.some((value) => !Number.isSafeInteger(value))) throw new UserError(`${what} has no possible size`, DAMAGED);
  return [sizes[0]!, sizes[1]!, sizes[2]!];
}

function checkOverlap(entries: ZipEntry[], directory: number, what: string): void {
  let end = 0;
  for (const entry of entries.toSorted((a, b) => a.begin - b.begin)) {
    if (entry.begin < end || entry.begin + entry.size > directory) {
      throw new UserError(`${what}: ${show(entry.name)} lies over another entry`, DAMAGED);
    }
    end = entry.begin + entry.size;
  }
}
