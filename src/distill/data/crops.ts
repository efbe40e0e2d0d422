/** Views of images as linear maps of their numbers: crops that are resized, flipped, rolled. */
import type { Random } from "../../data/random.ts";
import type { LinearMap } from "../../tensor/twice/ops.ts";

/** Images with channels first, (channels, height, width). */
export type ImageShape = readonly [channels: number, height: number, width: number];

/** A part of an image, in pixels. */
export interface Crop {
  readonly top: number;
  readonly left: number;
  readonly height: number;
  readonly width: number;
  readonly flip: boolean;
  /** How far the resized part is rolled, down and to the right. */
  readonly roll: readonly [rows: number, columns: number];
}

export interface CropOptions {
  /** Least share of the area. */
  readonly least: number;
  /** Whether half of the views are mirrored. */
  readonly flip: boolean;
  /** Farthest roll in pixels, both ways. */
  readonly jitter: number;
}

/**
 * Draws a part with an area of at least a share and sides of a ratio between 3/4 and 4/3; the whole where none fits.
 */
export function drawCrop([, height, width]: ImageShape, { least, flip, jitter }: CropOptions, random: Random): Crop {
  const own = { top: 0, left: 0, height, width };
  for (let attempt = 0; attempt < 10; attempt++) {
    const area = (least + (1 - least) * random.uniform()) * height * width;
    const ratio = Math.exp((2 * random.uniform() - 1) * Math.log(4 / 3));
    const [h, w] = [Math.round(Math.sqrt(area / ratio)), Math.round(Math.sqrt(area * ratio))];
    const [u, v] = [random.uniform(), random.uniform()];
    if (h < 1 || w < 1 || h > height || w > width) continue;
    Object.assign(own, {
      ...{ height: h, width: w },
      ...{ top: Math.floor(u * (height - h + 1)), left: Math.floor(v * (width - w + 1)) },
    });
    break;
  }
  const moved = () => random.below(2 * jitter + 1) - jitter;
  return { ...own, flip: flip && random.uniform() < 0.5, roll: [moved(), moved()] };
}

/** Where along a side a resized number comes from: two places and their shares, of bilinear interpolation. */
function along(i: number, size: number, from: number, part: number): readonly (readonly [at: number, share: number])[] {
  const place = Math.min(part - 1, Math.max(0, ((i + 0.5) * part) / size - 0.5));
  const low = Math.floor(place);
  const high = Math.min(part - 1, low + 1);
  const share = place - low;
  return share === 0
    ? [[from + low, 1]]
    : [
        [from + low, 1 - share],
        [from + high, share],
      ];
}

const wrapped = (i: number, size: number): number => ((i % size) + size) % size;

/** The map from the numbers of an image to those of a view of the same size. */
export function cropMap([channels, height, width]: ImageShape, crop: Crop): LinearMap {
  const [to, from, weight]: [number[], number[], number[]] = [[], [], []];
  const [down, right] = crop.roll;
  for (let row = 0; row < height; row++)
    for (let column = 0; column < width; column++) {
      const read = crop.flip ? width - 1 - column : column;
      const place = wrapped(row + down, height) * width + wrapped(column + right, width);
      for (const [y, own] of along(row, height, crop.top, crop.height))
        for (const [x, other] of along(read, width, crop.left, crop.width))
          for (let c = 0; c < channels; c++) {
            to.push(c * height * width + place);
            from.push((c * height + y) * width + x);
            weight.push(own * other);
          }
    }
  const numbers = channels * height * width;
  return {
    ...{ inputs: numbers, outputs: numbers, to: Int32Array.from(to), from: Int32Array.from(from) },
    weight: Float64Array.from(weight),
  };
}
