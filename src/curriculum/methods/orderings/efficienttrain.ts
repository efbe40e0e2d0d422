/**
 * EfficientTrain: low frequencies at a small side and weak augmentation first, then both grow; every image in every
 * epoch. Wang et al. 2022, https://arxiv.org/abs/2211.09703, and 2024, https://arxiv.org/abs/2405.08768 (++).
 *
 *   images of side b_k in stage k: the central b_k x b_k block of the spectrum; RandAugment of magnitude 0 to 9
 *
 * As first described the stages are 0.6, 0.2 and 0.2 of the steps at 5/7, 6/7 and all of the side, and the magnitude
 * rises with every step. `equal_compute` is ++: ten stages that cost alike, their steps in proportion to 1 / side^2,
 * and a magnitude that rises from stage to stage. Positions of a vit are interpolated from its full grid, which is
 * trained through the interpolation, so no weights are changed between stages. The schedule of the rate counts steps.
 */
import { permutation } from "../../../data/shuffle.ts";
import { UserError } from "../../../errors.ts";
import { defineOrdering, type ImageSides } from "../../contract.ts";

const SHARES = [5 / 7, 6 / 7, 1];
const PARTS = [0.6, 0.2, 0.2];
/** Of ++, for a small vit at 224. */
const EQUAL_SHARES = [96, 96, 160, 160, 160, 160, 192, 192, 224, 224].map((side) => side / 224);

/** Shares of the side as sides that the model takes. */
const rounded = (shares: readonly number[], { full, multiple, least }: ImageSides): number[] =>
  shares.map((share) => Math.min(full, Math.max(least, multiple * Math.round((share * full) / multiple))));

/** Sides of the stages. Throws UserError for one that the model does not take. */
function sidesOf(given: readonly number[] | undefined, sides: ImageSides, isEqual: boolean): readonly number[] {
  if (!given) return rounded(isEqual ? EQUAL_SHARES : SHARES, sides);
  const { full, multiple, least } = sides;
  const odd = given.find((side) => !(side >= least && side <= full && side % multiple === 0));
  if (odd !== undefined)
    throw new UserError(
      `--image-sides ${given.join(",")}: ${odd} is no side from ${least} to ${full} in steps of ${multiple}`,
      multiple > 1 ? "patches fill the images" : "images get smaller, not larger",
    );
  return given;
}

/** Shares of the steps. Throws UserError for another number of them, and where they do not sum to 1. */
function partsOf(given: readonly number[], sides: readonly number[], isEqual: boolean): readonly number[] {
  if (isEqual) {
    const costs = sides.map((side) => 1 / side ** 2);
    const sum = costs.reduce((a, b) => a + b, 0);
    return costs.map((cost) => cost / sum);
  }
  const text = `--stage-shares ${given.join(",")}`;
  if (given.length !== sides.length)
    throw new UserError(`${text} are of ${given.length} stages, and ${sides.length} have sides`, "give one for each");
  const sum = given.reduce((a, b) => a + b, 0);
  if (given.some((share) => !(share >= 0)) || Math.abs(sum - 1) > 1e-6)
    throw new UserError(`${text} should be at least 0 and sum to 1`, "such as 0.6,0.2,0.2");
  return given;
}

export const method = defineOrdering({
  name: "efficienttrain",
  title: "EfficientTrain",
  about: "images of low frequencies and weak augmentation first",
  cite: "arXiv:2211.09703",
  laws: {
    ordinaryOrder: true,
    easiestFirst: "goes through all rows alike",
    unknownLast: "knows no losses",
    allInTheEnd: true,
  },
  trials: [{}, { equal_compute: true }],
  options: {
    image_sides: {
      type: "number[]",
      help: "sides of the images by stage; 5/7, 6/7 and all of the model's when left out",
      value: "A,B,C",
    },
    stage_shares: {
      type: "number[]",
      default: PARTS,
      help: "shares of the steps by stage",
      value: "A,B,C",
    },
    equal_compute: {
      type: "boolean",
      default: false,
      help: "stages cost alike, as in ++: ten of them from 3/7 of the side on, unless --image-sides says others",
    },
    crop: { type: "'fourier' | 'resize'", default: "fourier", help: "by the spectrum, or by Lanczos' window" },
    magnitude: { type: "0 <= number <= 10", default: 9, help: "of RandAugment at the end, of 10; 0: none" },
    operations: { type: "number.integer >= 0", default: 2, help: "operations that an image goes through" },
    rising: { type: "'yes' | 'no'", default: "yes", help: "whether the magnitude rises from 0, or is the same always" },
  },
  rows: ({ lengths, epoch, seed }) => permutation(lengths.length, seed, epoch),
  images(sides, { image_sides, stage_shares, equal_compute, crop, magnitude, operations, rising }) {
    const own = sidesOf(image_sides, sides, equal_compute);
    const parts = partsOf(stage_shares, own, equal_compute);
    const ends = parts.map((_, k) => parts.slice(0, k + 1).reduce((a, b) => a + b, 0));
    const last = own.length - 1;
    return (done) => {
      const found = ends.findIndex((end) => done < end - 1e-9);
      const stage = found < 0 ? last : found;
      const risen = equal_compute ? stage / Math.max(1, last) : done;
      const amount = (magnitude / 10) * (rising === "yes" ? risen : 1);
      return { side: own[stage]!, crop, amount, operations };
    };
  },
});
