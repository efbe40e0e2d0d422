/** The matrices of a model that are changed, block by block. */
import { UserError } from "../errors.ts";
import type { StoredTensor } from "../model/load.ts";
import type { Model } from "../model/model.ts";
import { layerOf } from "../model/names.ts";
import { matcher } from "../run/name-patterns.ts";
import { sizeOf } from "../tensor/tensor.ts";

/** A tensor whose matrices are changed: one, or one for each expert of a stack. */
export interface Target {
  readonly stored: StoredTensor;
  /** Block, from 0. */
  readonly block: number;
  /** Matrices of the parameter that stand before the first of these. */
  readonly firstPart: number;
  readonly parts: number;
  /** out and in of each. */
  readonly rows: number;
  readonly columns: number;
  /** Whether it is stored (in, out). */
  readonly inFirst: boolean;
}

/** Throws UserError where patterns pick nothing. */
export function targetsOf(
  model: Model,
  {
    only,
    ignore = [],
  }: { readonly only?: readonly string[] | undefined; readonly ignore?: readonly string[] | undefined },
): Target[] {
  const linear = new Map(
    model.specs.filter(({ linear, stack, parts }) => linear || stack || parts).map((spec) => [spec.name, spec]),
  );
  const [picked, left] = [only && matcher(only), matcher(ignore)];
  const targets = model.stored.flatMap((stored): Target[] => {
    const { name, shape, parameter, start } = stored;
    const spec = linear.get(parameter.name);
    const layer = layerOf(name);
    const fits = spec && layer && (shape.length === 2 || shape.length === 3) && layer.index < model.sizes.layers;
    if (!fits || left(name) || !(picked?.(name) ?? !spec.routes)) return [];
    const inFirst = model.isInFirst(parameter);
    const [first = 0, second = 0] = shape.slice(-2);
    const [rows, columns] = inFirst ? [second, first] : [first, second];
    return [
      {
        ...{ stored, block: layer.index, rows, columns, inFirst },
        firstPart: start / (rows * columns),
        parts: sizeOf(shape) / (rows * columns),
      },
    ];
  });
  if (targets.length > 0) return targets;
  throw new UserError(
    only || ignore.length > 0
      ? "no linear layer of a block is left by --only and --ignore"
      : `${model.architecture.name} has no linear layers in blocks`,
    "bun run inspect MODEL lists the tensors by name",
  );
}

/** Throws UserError where a pattern does not fit the inputs of a matrix. */
export function refuseUneven(targets: readonly Target[], { of }: { readonly of: number }): void {
  const uneven = targets.find(({ columns }) => columns % of !== 0);
  if (uneven)
    throw new UserError(
      `${uneven.stored.name} has ${uneven.columns} inputs, which are no multiple of the ${of} of --pattern`,
      "give another pattern, or leave such matrices out with --ignore",
    );
}
