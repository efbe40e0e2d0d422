/**
 * Widths of a classifier of several tasks (mlp-tasks): of its trunk, and of the hidden layer before each task's head.
 */
import { UserError } from "../../errors.ts";
import { configValue } from "../names.ts";
import { anatomyOf, type ShapedModel } from "./anatomy.ts";
import { firstCount } from "./first-units.ts";
import type { Units } from "./picked.ts";
import { type WidthSpace, widthSpaces } from "./slice.ts";

/** Shares of units that stay, the first ones. */
export interface TaskWidths {
  readonly trunk: number;
  /** By task. */
  readonly decoders: readonly number[];
}

/** The layers of the trunk, and the decoder of each task. Throws UserError for a model without such. */
export function trunkAndDecoders(model: ShapedModel): {
  readonly trunk: readonly WidthSpace[];
  readonly decoders: readonly WidthSpace[];
  readonly tasks: number;
} {
  const type = configValue(model.config, "model_type");
  const spaces = type === "mlp-tasks" ? widthSpaces(anatomyOf(model)) : [];
  const decoders = spaces.filter(({ id }) => id.startsWith("inner@decoders."));
  const trunk = spaces.filter(({ id }) => id.startsWith("inner@layers."));
  if (decoders.length === 0 || trunk.length === 0)
    throw new UserError(
      `widths of tasks are for an mlp-tasks with a hidden layer before the head of each task, and ${model.ref} is ${type === "mlp-tasks" ? "one without" : `a ${type}`}`,
      'begin with "model_type": "mlp-tasks", "task_heads": true, and "task_head_sizes" in config.json',
    );
  return { trunk, decoders, tasks: decoders.length };
}

/** The units that stay. Throws UserError as `trunkAndDecoders`. */
export function taskUnits(model: ShapedModel, { trunk: share, decoders: shares }: TaskWidths): Units {
  const { trunk, decoders } = trunkAndDecoders(model);
  const units = new Map<string, Int32Array>();
  const keep = ({ id, units: count }: WidthSpace, own: number) => {
    const left = firstCount(count, own);
    if (left < count)
      units.set(
        id,
        Int32Array.from({ length: left }, (_, i) => i),
      );
  };
  for (const space of trunk) keep(space, share);
  for (const [task, space] of decoders.entries()) keep(space, shares[task] ?? 1);
  return units;
}

/** Operations of a row through the trunk and the decoders and heads of all tasks, two for each weight. */
export function operationsOf(
  tensors: Iterable<readonly [name: string, { readonly shape: readonly number[] }]>,
): number {
  let sum = 0;
  for (const [, { shape }] of tensors) if (shape.length === 2) sum += 2 * shape.reduce((a, b) => a * b, 1);
  return sum;
}
