/** Joins tensors along their first dimension. */
import type { Recorder } from "./recorder.ts";
import { sizeOf, type Tensor, tensorBytes, viewOf } from "./tensor.ts";

/**
 * One tensor out of parts that follow each other along the first dimension; copies. Throws RangeError where a part
 * does not begin at a multiple of 256 bytes.
 */
export function concat(rec: Recorder, parts: readonly Tensor[], label: string): Tensor {
  const [first] = parts;
  if (!first) throw new RangeError(`${label}: nothing to join`);
  if (parts.length === 1) return first;
  const rows = parts.reduce((sum, { shape }) => sum + (shape[0] ?? 0), 0);
  const rest = first.shape.slice(1);
  const rowBytes = tensorBytes(viewOf(first, 0, [1, ...rest]));
  const joined = rec.result([rows, ...rest], parts, label);
  const piece = (whole: Tensor, like: Tensor, at: number) => viewOf(whole, at * sizeOf(rest), like.shape);
  const starts: number[] = [];
  let at = 0;
  for (const x of parts) {
    if ((at * rowBytes) % 256 !== 0)
      throw new RangeError(`${label}: row ${at} does not begin at a multiple of 256 bytes`);
    rec.addInto(x, piece(joined, x, at), 0);
    starts.push(at);
    at += x.shape[0] ?? 0;
  }
  rec.onBackward(joined, (dy) => {
    for (const [i, x] of parts.entries()) {
      if (!x.needsGrad) continue;
      const { into, accumulate } = rec.gradient(x);
      rec.addInto(piece(dy, x, starts[i]!), into, accumulate);
    }
  });
  return joined;
}
