/**
 * Follows the frames of zstd data without unpacking them, to know whether the data are whole: the decoder gives what it
 * has at an early end and says nothing.
 *
 * RFC 8878, sections 3.1.1 and 3.1.2.
 */

const FRAME = 0xfd2fb528;
const SKIPPABLE = 0x184d2a50;
const RLE_BLOCK = 1;

/** Asks for some bytes, or passes over some; true at the border of two frames. */
type Step = { readonly read: number } | { readonly skip: number } | "border";

const number = (bytes: Uint8Array): number => bytes.reduceRight((sum, byte) => sum * 256 + byte, 0);

function* frames(): Generator<Step, void, Uint8Array> {
  for (;;) {
    yield "border";
    const magic = number(yield { read: 4 });
    if (magic !== FRAME) {
      if ((magic & 0xfffffff0) >>> 0 !== SKIPPABLE) throw new Error("no frame where one should begin");
      yield { skip: number(yield { read: 4 }) };
      continue;
    }
    const [descriptor = 0] = yield { read: 1 };
    const isSingle = (descriptor & 0x20) !== 0;
    const sizeBytes = [isSingle ? 1 : 0, 2, 4, 8][descriptor >> 6]!;
    yield { skip: (isSingle ? 0 : 1) + [0, 1, 2, 4][descriptor & 3]! + sizeBytes };
    for (let isLast = false; !isLast; ) {
      const block = number(yield { read: 3 });
      isLast = (block & 1) === 1;
      yield { skip: ((block >> 1) & 3) === RLE_BLOCK ? 1 : block >> 3 };
    }
    if (descriptor & 4) yield { skip: 4 };
  }
}

/** Gives the chunks on; throws at their end unless a frame ended there, and where no frame begins. */
export async function* wholeFrames(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  const walk = frames();
  let step: Step = walk.next().value!;
  let held: number[] = [];
  let skip = 0;
  for await (const chunk of chunks) {
    for (let at = 0; at < chunk.length; ) {
      if (step === "border") step = walk.next().value!;
      else if ("skip" in step) {
        const n = Math.min(step.skip - skip, chunk.length - at);
        skip += n;
        at += n;
        if (skip === step.skip) [step, skip] = [walk.next().value!, 0];
      } else {
        held.push(chunk[at++]!);
        if (held.length === step.read) [step, held] = [walk.next(Uint8Array.from(held)).value!, []];
      }
    }
    yield chunk;
  }
  // What is to be skipped may be nothing at all.
  while (step !== "border" && "skip" in step && step.skip === 0) step = walk.next().value!;
  if (step !== "border") throw new Error("unexpected end of file");
}
