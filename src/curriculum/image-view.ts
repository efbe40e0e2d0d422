/** How a curriculum of images changes the rows of a batch by the share that is done: smaller ones, augmented ones. */

import { randAugmented } from "../data/augmenting/image-operations.ts";
import { resizer } from "../data/augmenting/image-sizes.ts";
import type { ImageShape } from "../data/corrupting/contract.ts";
import type { Example } from "../data/examples.ts";
import { Random } from "../data/random.ts";
import { UserError } from "../errors.ts";
import type { Bound } from "../method/bind.ts";
import type { ModelSizes } from "../model/architecture.ts";
import type { CommandContext } from "../run/command-context.ts";
import type { ImageLook, ImageSides, OrderingMethod } from "./contract.ts";

export interface ImageViewOptions {
  readonly ordering: Bound<OrderingMethod>;
  readonly sizes: ModelSizes;
  /** Names the model in messages. */
  readonly ref: string;
  /** Batches of the whole training. */
  readonly batches: number;
  readonly seed: number;
  readonly context: Pick<CommandContext, "log">;
}

/** The images that a model takes. Throws UserError for one that takes none of another size. */
function sidesOf({ ordering, sizes, ref }: ImageViewOptions): ImageSides & { readonly channels: number } {
  const { example = [], sides } = sizes;
  const [channels = 0, height = 0, width = 0] = example;
  if (!sides || example.length !== 3 || height !== width)
    throw new UserError(
      `${ordering.method.name} trains on smaller images first, and ${ref} takes none of another size`,
      "vit does, and convnet with head_pooling mean",
    );
  return { ...sides, full: height, channels };
}

/**
 * What changes the rows of each batch of the training; undefined for orderings that leave images as they are. What is
 * drawn follows from the seed, the batch and the place in it. Throws UserError for options that do not fit.
 */
export function imageView(
  given: ImageViewOptions,
): ((rows: readonly Example[], batch: number) => readonly Example[]) | undefined {
  const { ordering, batches, seed, context } = given;
  const { images } = ordering.method;
  if (!images) return undefined;
  const { channels, ...sides } = sidesOf(given);
  const full: ImageShape = [channels, sides.full, sides.full];
  const looks = images(sides, ordering.values);
  const resizers = new Map<string, ReturnType<typeof resizer>>();
  let last: ImageLook | undefined;
  return (rows, batch): readonly Example[] => {
    const look = looks(Math.min(1, batch / batches));
    const { side, crop, amount, operations } = look;
    if (look.side !== last?.side) context.log.event("images", { batch, side, amount });
    last = look;
    const key = `${crop} ${side}`;
    const resized = resizers.get(key) ?? resizer(full, side, crop);
    resizers.set(key, resized);
    return rows.map((row, place) => {
      if (!("x" in row)) throw new TypeError("texts are no images");
      const x = side === sides.full ? row.x : resized(row.x);
      const shape: ImageShape = [channels, side, side];
      if (amount === 0 || operations === 0) return { ...row, x, shape };
      const random = new Random(seed, "image view", batch, place);
      return { ...row, x: randAugmented(x, { shape, count: operations, amount, random }), shape };
    });
  };
}
