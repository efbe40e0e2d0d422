/**
 * Tensors whose elements lie apart in their storage: transposed, sliced or permuted views, as torch.save keeps them.
 * They are read in the order of their own shape, in pieces of bounded size.
 */
import type { TensorEntry } from "../checkpoint.ts";

/** Elements brought together at a time, and bytes of the storage that are held for it. */
const ELEMENTS = 1 << 17;
const PIECE = 4 << 20;

export interface Strided {
  readonly shape: readonly number[];
  /** In elements, none negative. */
  readonly strides: readonly number[];
  /** Bytes of an element. */
  readonly width: number;
}

/** Whether elements lie in their order without gaps. */
export function isContiguous({ shape, strides }: Pick<Strided, "shape" | "strides">): boolean {
  if (shape.includes(0)) return true;
  let step = 1;
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    if (shape[axis] !== 1 && strides[axis] !== step) return false;
    step *= shape[axis]!;
  }
  return true;
}

/** One more than the place of the last element, counted from the first; 0 of an empty tensor. */
export const reachOf = ({ shape, strides }: Pick<Strided, "shape" | "strides">): number =>
  shape.includes(0) ? 0 : shape.reduce((last, side, axis) => last + (side - 1) * strides[axis]!, 1);

/**
 * Reads a range of the tensor's bytes, rows in order. `stored` reads the storage from the tensor's first element on.
 * Memory: a piece of the storage and a list of places, 5 MB; the storage between the first and the last element of a
 * range is read once for every 2^17 elements.
 */
export function stridedRead(view: Strided, stored: TensorEntry["read"]): TensorEntry["read"] {
  const { width } = view;
  return async (into, offset) => {
    const end = offset + into.length;
    for (let at = offset; at < end; ) {
      const first = Math.floor(at / width);
      const last = Math.min(Math.ceil(end / width), first + ELEMENTS);
      const gathered = await gather(view, stored, first, last - first);
      const stop = Math.min(end, last * width);
      into.set(gathered.subarray(at - first * width, stop - first * width), at - offset);
      at = stop;
    }
  };
}

async function gather(view: Strided, stored: TensorEntry["read"], first: number, count: number): Promise<Uint8Array> {
  const { width } = view;
  const places = placesOf(view, first, count);
  const found = new Uint8Array(count * width);
  const elements = Math.floor(PIECE / width);
  let lowest = places.reduce((least, place) => Math.min(least, place), Number.POSITIVE_INFINITY);
  const highest = places.reduce((most, place) => Math.max(most, place), 0);
  const piece = new Uint8Array(Math.min(elements, highest - lowest + 1) * width);
  while (lowest <= highest) {
    const beyond = Math.min(lowest + elements, highest + 1);
    await stored(piece.subarray(0, (beyond - lowest) * width), lowest * width);
    let next = Number.POSITIVE_INFINITY;
    for (let i = 0; i < count; i++) {
      const place = places[i]!;
      if (place < lowest) continue;
      if (place >= beyond) {
        if (place < next) next = place;
        continue;
      }
      const from = (place - lowest) * width;
      for (let k = 0; k < width; k++) found[i * width + k] = piece[from + k]!;
    }
    lowest = next; // gaps are not read
  }
  return found;
}

/** Where elements lie in the storage, counted from the tensor's first. */
function placesOf({ shape, strides }: Strided, first: number, count: number): Float64Array {
  const places = new Float64Array(count);
  const index = shape.map(() => 0);
  let rest = first;
  let place = 0;
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    index[axis] = rest % shape[axis]!;
    rest = Math.floor(rest / shape[axis]!);
    place += index[axis]! * strides[axis]!;
  }
  for (let i = 0; i < count; i++) {
    places[i] = place;
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      index[axis]!++;
      place += strides[axis]!;
      if (index[axis]! < shape[axis]!) break;
      place -= index[axis]! * strides[axis]!;
      index[axis] = 0;
    }
  }
  return places;
}
