/**
 * Images at a smaller side: the low frequencies of their spectrum, or a resampling with Lanczos' window.
 *
 * The crop keeps the frequencies -b/2 to b/2 - 1 of both axes, and is divided by what keeps the mean:
 *
 *   y_i = 1 / H sum_n x_n sum_k exp(2 pi sqrt(-1) k (i / b - n / H)) along each axis, of which the real part
 */
import type { ImageShape } from "../corrupting/contract.ts";
import { cos, sin } from "../portable.ts";

/** A map of one axis: (out, in). */
interface Axis {
  readonly real: Float64Array;
  readonly imaginary?: Float64Array;
}

/** An angle of whole turns over `n`, between 0 and 2 pi, in halves of it that `portable` knows well. */
function turned(steps: number, n: number): readonly [cos: number, sin: number] {
  const share = (((steps % n) + n) % n) / n;
  const angle = 2 * Math.PI * (share > 0.5 ? share - 1 : share);
  return [cos(angle), Math.sign(angle) * sin(Math.abs(angle))];
}

/** The least of n frequencies around 0. */
const lowest = (n: number): number => -Math.floor(n / 2);

function fourierAxis(from: number, to: number): Axis {
  const [real, imaginary] = [new Float64Array(to * from), new Float64Array(to * from)];
  const count = Math.min(from, to); // more would be the same ones again
  for (let i = 0; i < to; i++)
    for (let n = 0; n < from; n++)
      for (let k = lowest(count); k < lowest(count) + count; k++) {
        // k (i / to - n / from) turns
        const [c, s] = turned(k * (i * from - n * to), to * from);
        real[i * from + n]! += c / from;
        imaginary[i * from + n]! += s / from;
      }
  return { real, imaginary };
}

const LOBES = 3;

function lanczosAxis(from: number, to: number): Axis {
  const scale = from / to;
  const real = new Float64Array(to * from);
  const sinc = (x: number) => {
    if (x === 0) return 1;
    const [, s] = turned(Math.abs(x) / 2, 1);
    return s / (Math.PI * Math.abs(x));
  };
  for (let i = 0; i < to; i++) {
    const middle = (i + 0.5) * scale - 0.5;
    let sum = 0;
    for (let n = 0; n < from; n++) {
      const x = (n - middle) / scale;
      if (Math.abs(x) >= LOBES) continue;
      real[i * from + n] = sinc(x) * sinc(x / LOBES);
      sum += real[i * from + n]!;
    }
    for (let n = 0; n < from; n++) real[i * from + n]! /= sum;
  }
  return { real };
}

/** How an image gets smaller. */
export type Crop = "fourier" | "resize";

/** M_y X M_x^T of one plane (H, W). */
function mapped(
  plane: Float32Array,
  [height, width]: readonly [number, number],
  rows: Float64Array,
  columns: Float64Array,
) {
  const [toRows, toColumns] = [rows.length / height, columns.length / width];
  const half = new Float64Array(toRows * width);
  for (let i = 0; i < toRows; i++)
    for (let n = 0; n < height; n++)
      for (let w = 0; w < width; w++) half[i * width + w]! += rows[i * height + n]! * plane[n * width + w]!;
  const made = new Float64Array(toRows * toColumns);
  for (let i = 0; i < toRows; i++)
    for (let j = 0; j < toColumns; j++) {
      let sum = 0;
      for (let w = 0; w < width; w++) sum += half[i * width + w]! * columns[j * width + w]!;
      made[i * toColumns + j] = sum;
    }
  return made;
}

/** Makes images of a shape (C, H, W) so large: (C, side, side). The maps of both axes are computed once. */
export function resizer([channels, height, width]: ImageShape, side: number, crop: Crop) {
  const axis = crop === "fourier" ? fourierAxis : lanczosAxis;
  const [down, along] = [axis(height, side), axis(width, side)];
  return (x: Float32Array): Float32Array => {
    const made = new Float32Array(channels * side * side);
    for (let channel = 0; channel < channels; channel++) {
      const plane = x.subarray(channel * height * width, (channel + 1) * height * width);
      const real = mapped(plane, [height, width], down.real, along.real);
      const other =
        down.imaginary && along.imaginary && mapped(plane, [height, width], down.imaginary, along.imaginary);
      for (const [i, value] of real.entries()) made[channel * side * side + i] = value - (other?.[i] ?? 0);
    }
    return made;
  };
}
