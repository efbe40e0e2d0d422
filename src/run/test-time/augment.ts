/**
 * Other views of rows, small enough that their class stays what it is:
 *
 *   image    turned by up to 8 degrees, scaled by 0.95 to 1.05, moved by up to a sixteenth of the side, other
 *            brightness and contrast by up to a tenth, a little noise; after the augmentations of Döbler et al., CVPR
 *            2023, without the flip, which makes another sign of a digit
 *   noise    every number times 1 + a little noise, plus a little noise of the row's own spread
 *   tokens   tokens left out, each by itself, and one span of them behind a mask, or left out where there is none
 *
 * A view follows from the seed, a key and the row's place in the batch.
 */
import { valueAt } from "../../data/augmenting/image-operations.ts";
import { type ExampleBatch, type NumbersInput, stackExamples } from "../../data/batch.ts";
import type { ImageShape } from "../../data/corrupting/contract.ts";
import type { Example } from "../../data/examples.ts";
import { Random } from "../../data/random.ts";
import type { Sentences } from "../../data/tokenization/sentence-template.ts";

export type AugmentKind = "image" | "noise" | "tokens" | "none";

export interface AugmentOptions {
  readonly kind: AugmentKind;
  /** Of images. */
  readonly shape?: ImageShape | undefined;
  /** Of noise: a share of the deviation of a row's numbers. Of tokens: the share that is left out. */
  readonly strength: number;
  /** Of tokens: what stands for a span; spans are left out when there is none. */
  readonly mask?: number | undefined;
  readonly seed: number;
}

const between = (random: Random, low: number, high: number): number => low + (high - low) * random.uniform();

/** Radians; 8 degrees. */
const TURN = 0.14;

function otherImage(x: Float32Array, shape: ImageShape, random: Random): Float32Array {
  const [channels, height, width] = shape;
  const turn = between(random, -TURN, TURN);
  const zoom = between(random, 0.95, 1.05);
  const [down, along] = [between(random, -height / 16, height / 16), between(random, -width / 16, width / 16)];
  const [contrast, brightness] = [between(random, 0.9, 1.1), between(random, -0.05, 0.05)];
  // To the second order, which every machine computes alike.
  const [cos, sin] = [(1 - (turn * turn) / 2) / zoom, turn / zoom];
  const [midRow, midColumn] = [(height - 1) / 2, (width - 1) / 2];
  const made = new Float32Array(x.length);
  for (let channel = 0; channel < channels; channel++) {
    const start = channel * height * width;
    for (let row = 0; row < height; row++)
      for (let column = 0; column < width; column++) {
        const [dy, dx] = [row - midRow - down, column - midColumn - along];
        const value = valueAt(x, start, shape, midRow + cos * dy - sin * dx, midColumn + sin * dy + cos * dx);
        made[start + row * width + column] = contrast * value + brightness + 0.005 * random.normal();
      }
  }
  return made;
}

function otherNumbers(x: Float32Array, strength: number, random: Random): Float32Array {
  const mean = x.reduce((sum, value) => sum + value, 0) / x.length;
  const spread = Math.sqrt(x.reduce((sum, value) => sum + (value - mean) ** 2, 0) / x.length);
  return x.map((value) => value * (1 + (strength / 2) * random.normal()) + strength * spread * random.normal());
}

/** The tokens at the ends stay: they may be those that every text has. */
function otherTokens({ ids, types }: Sentences, strength: number, mask: number | undefined, random: Random): Sentences {
  const inner = ids.length - 2;
  if (inner < 2) return { ids, types };
  const length = Math.max(1, Math.round(strength * inner));
  const start = 1 + random.below(inner - length + 1);
  const kept: number[] = [];
  const named: number[] = [];
  for (let i = 0; i < ids.length; i++) {
    const isHidden = i >= start && i < start + length;
    const isEnd = i === 0 || i === ids.length - 1;
    if (isHidden ? mask === undefined || i > start : !isEnd && random.uniform() < strength) continue;
    kept.push(isHidden ? mask! : ids[i]!);
    named.push(types[i]!);
  }
  return { ids: Int32Array.from(kept), types: Int32Array.from(named) };
}

/** Makes another view of rows a batch. Throws TypeError for rows of another kind. */
export function augmenter({ kind, shape, strength, mask, seed }: AugmentOptions) {
  const other = (row: Example, random: Random): Example => {
    if (kind === "none") return row;
    if (kind === "tokens") {
      if (!("tokens" in row)) throw new TypeError("rows of numbers have no tokens");
      return { ...row, tokens: otherTokens(row.tokens, strength, mask, random) };
    }
    if (!("x" in row)) throw new TypeError("texts are no numbers");
    const numbers: NumbersInput = row;
    const x = kind === "image" ? otherImage(numbers.x, shape!, random) : otherNumbers(numbers.x, strength, random);
    return { ...row, x };
  };
  return (rows: readonly Example[], key: string): ExampleBatch =>
    stackExamples(rows.map((row, i) => other(row, new Random(seed, "augment", key, i))));
}
