/**
 * Stages of networks: a deep and a shallow one are divided into as many stages, and a stage of one takes the place of
 * that of the other.
 */
import { UserError } from "../../errors.ts";
import type { NamedModel } from "../../model/names.ts";
import { type Block, blocksOf, refuseNumbered, type Source, sourceOf, stackBlocks } from "./blocks.ts";
import type { Outline } from "./outline.ts";

/** Blocks [first, end) of a source. */
const blocks = (source: Source, first: number, end: number): Block[] =>
  Array.from({ length: end - first }, (_, k) => ({ source, layer: first + k }));

/** Blocks of a stage. Throws UserError where the blocks cannot be divided evenly. */
function stageLength(count: number, stages: number, ref: string): number {
  if (count % stages === 0) return count / stages;
  throw new UserError(
    `${ref} has ${count} blocks, which ${stages} stages do not divide`,
    "choose another number of stages (--divide), or of blocks",
  );
}

/** A result of these blocks, with all else of the shallow network. */
function stacked(shallow: NamedModel, count: number, prefix: string, input: number, chosen: readonly Block[]): Outline {
  const tensors = stackBlocks(
    prefix,
    sourceOf(input, shallow),
    chosen.map((block) => [block]),
  );
  // Blocks are alike, so that any of the shallow network's says what config.json says of each.
  const origins = chosen.map((_, layer) => Math.min(layer, count - 1));
  return { tensors, stacks: [{ prefix, before: count, origins }] };
}

/** Stage `stage` (from 1) of the deep network between the other stages of the shallow one. */
export function incubated(
  deep: NamedModel,
  shallow: NamedModel,
  { stage, divide }: { readonly stage: number; readonly divide: number },
): Outline {
  for (const model of [deep, shallow]) refuseNumbered(model, "incubate");
  if (stage > divide) throw new UserError(`there is no stage ${stage} of ${divide}`, `give --stage 1 to ${divide}`);
  const [large, small] = [blocksOf(deep, "incubate"), blocksOf(shallow, "incubate")];
  const own = stageLength(large.count, divide, deep.ref);
  const other = stageLength(small.count, divide, shallow.ref);
  const [from, meta] = [sourceOf(0, deep), sourceOf(1, shallow)];
  return stacked(shallow, small.count, small.prefix, 1, [
    ...blocks(meta, 0, (stage - 1) * other),
    ...blocks(from, (stage - 1) * own, stage * own),
    ...blocks(meta, stage * other, small.count),
  ]);
}

/** The stages that stand in the models, the first in the first one. */
export function assembled(models: readonly NamedModel[], shallow: NamedModel): Outline {
  for (const model of [...models, shallow]) refuseNumbered(model, "assemble");
  const small = blocksOf(shallow, "assemble");
  const other = stageLength(small.count, models.length, shallow.ref);
  const chosen = models.flatMap((model, i) => {
    const { count } = blocksOf(model, "assemble");
    const own = count - other * (models.length - 1);
    if (own < 1)
      throw new UserError(
        `${model.ref} has ${count} blocks, fewer than ${other * (models.length - 1)} of the base and one of its own`,
        "name the models of all stages, in their order, and the shallow network as --base",
      );
    return blocks(sourceOf(i, model), other * i, other * i + own);
  });
  return stacked(shallow, small.count, small.prefix, models.length, chosen);
}
