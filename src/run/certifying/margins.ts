/**
 * What a classifier's logits can be for all inputs of a box: a lower bound of how far the label's lies above each
 * other. The head's rows are merged before they are bounded, (W_y - W_j) h, which is tighter than bounds of both. Gowal
 * et al., ICCV 2019, https://arxiv.org/abs/1810.12715
 */
import { UserError } from "../../errors.ts";
import type { Box } from "../../model/architecture.ts";
import { boxBetween } from "../../model/blocks/box.ts";
import type { Model, Recorded } from "../../model/model.ts";
import { abs, addScalar, clamp, mul, neg, sub, sumTo } from "../../tensor/ops/elementwise.ts";
import { labelRow } from "../../tensor/ops/label-row.ts";
import { linear } from "../../tensor/ops/linear.ts";
import type { Dynamic, Recorder } from "../../tensor/recorder.ts";
import type { Tensor } from "../../tensor/tensor.ts";

/** Most classes: the head's merged rows are classes x classes x width. */
const MOST_CLASSES = 256;

/** Throws UserError for a model whose outputs have no bounds here. `what` is the option that asks for them. */
export function expectBounds(model: Model, ref: string, what: string): void {
  const { architecture, json, sizes, adapter, task } = model;
  const { bounds } = architecture;
  const why = bounds
    ? ((task === "classifier" ? undefined : `it is a ${task}`) ??
      bounds.lacks(architecture.config(json, ref)) ??
      (adapter ? "its adapter is not merged into it" : undefined) ??
      (sizes.outputs > MOST_CLASSES ? `it has ${sizes.outputs} classes, more than ${MOST_CLASSES}` : undefined))
    : `there are none for ${architecture.name}`;
  if (why !== undefined)
    throw new UserError(`${what} needs bounds of a classifier's outputs, and ${ref} has none: ${why}`);
}

export interface Ball {
  /** How far each number may be from what it is, in units of the inputs. */
  readonly epsilon: number | Dynamic;
  /** The same, less than 0. */
  readonly below: number | Dynamic;
  /** Least and largest value of an input. */
  readonly range: readonly [low: number, high: number];
}

/** All inputs of a ball about x (B, ...shape), cut at the range. */
export function inputBox(rec: Recorder, x: Tensor, { epsilon, below, range: [low, high] }: Ball): Box {
  const cut = (by: number | Dynamic) => clamp(rec, addScalar(rec, x, by), low, high);
  return boxBetween(rec, cut(below), cut(epsilon));
}

/**
 * Lower bounds (B, classes) of the label's logit over each other, 0 at the label itself: a row is right for the whole
 * box where all others are above 0. `hidden` is the box (B, C) of what the head reads.
 */
export function lowerMargins(
  rec: Recorder,
  model: Model,
  { head }: Pick<Recorded, "head">,
  hidden: Box,
  targets: Tensor,
): Tensor {
  const weight = rec.parameter(model.parameters.get(`${model.architecture.bounds!.head}.weight`)!);
  const [classes = 0, width = 0] = weight.shape;
  const rows = hidden.center.shape[0] ?? 0;
  const label = labelRow(rec, targets, classes);
  const logits = head(hidden.center); // (B, K)
  const own = sumTo(rec, mul(rec, logits, label), [rows, 1]);
  const merged = sub(rec, rec.reshape(weight, [classes, 1, width]), rec.reshape(weight, [1, classes, width]));
  const sizes = rec.reshape(abs(rec, merged), [classes * classes, width]);
  const radii = rec.reshape(linear(rec, hidden.radius, sizes), [rows, classes, classes]); // by label, then by other
  const radius = sumTo(rec, mul(rec, radii, rec.reshape(label, [rows, classes, 1])), [rows, 1, classes]);
  return sub(rec, sub(rec, own, logits), rec.reshape(radius, [rows, classes]));
}

/** Logits that no input of the box has worse: 0 of the label, and minus the bound of every other. */
export const worstLogits = (rec: Recorder, margins: Tensor): Tensor => neg(rec, margins);
