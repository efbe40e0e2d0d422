/** Files packed with gzip or zstd, unpacked as they are read; what they are is told by their first bytes. */
import { pipeline, Readable, type Transform } from "node:stream";
import zlib from "node:zlib";
import { UserError } from "../../errors.ts";
import { wholeFrames } from "./zstd-frames.ts";

interface Packing {
  readonly name: string;
  readonly magic: readonly number[];
  unpack(): Transform;
  /** Throws at an early end, where the decoder does not. */
  watch?(chunks: AsyncGenerator<Uint8Array>): AsyncGenerator<Uint8Array>;
}

const PACKINGS: readonly Packing[] = [
  { name: "gzip", magic: [0x1f, 0x8b], unpack: () => zlib.createGunzip() },
  { name: "zstd", magic: [0x28, 0xb5, 0x2f, 0xfd], unpack: () => zlib.createZstdDecompress(), watch: wholeFrames },
];

/** What a file that begins so is packed with; undefined of others. */
export const packingOf = (start: Uint8Array): Packing | undefined =>
  PACKINGS.find(({ magic }) => magic.every((byte, i) => start[i] === byte));

/** What is packed, in memory of some chunks. Throws UserError where it is damaged. */
export async function* unpacked(
  chunks: AsyncGenerator<Uint8Array>,
  { name, unpack, watch = (given) => given }: Packing,
  what: string,
): AsyncGenerator<Uint8Array> {
  const out = unpack();
  // An error of either end reaches whoever reads `out`.
  pipeline(Readable.from(watch(chunks), { objectMode: false }), out, () => {});
  try {
    for await (const chunk of out) yield chunk as Uint8Array;
  } catch (error) {
    if (error instanceof UserError) throw error;
    throw new UserError(
      `${what} cannot be unpacked with ${name}: ${(error as Error).message}`,
      "it is damaged or cut short; fetch or write it again",
    );
  } finally {
    out.destroy();
  }
}
