/**
 * Interval bound propagation: where a layer's outputs can be for all inputs of a box. Gowal et al., ICCV 2019,
 * https://arxiv.org/abs/1810.12715
 *
 *   linear     center W^T + bias, radius |W|^T
 *   monotone   the function of both ends
 *
 * Bounds hold in exact arithmetic; these are computed in f32, and are off by what f32 rounds.
 */
import { relu } from "../../tensor/ops/activation.ts";
import { abs, add, scale, sub } from "../../tensor/ops/elementwise.ts";
import { linear } from "../../tensor/ops/linear.ts";
import type { Recorder } from "../../tensor/recorder.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import type { Box, Net } from "../architecture.ts";

/** The box between two ends. */
export const boxBetween = (rec: Recorder, low: Tensor, high: Tensor): Box => ({
  center: scale(rec, add(rec, low, high), 0.5),
  radius: scale(rec, sub(rec, high, low), 0.5),
});

export const lowerEnd = (rec: Recorder, { center, radius }: Box): Tensor => sub(rec, center, radius);
export const upperEnd = (rec: Recorder, { center, radius }: Box): Tensor => add(rec, center, radius);

/** The box of a function that falls nowhere. */
export const monotoneBox = (rec: Recorder, box: Box, f: (x: Tensor) => Tensor): Box =>
  boxBetween(rec, f(lowerEnd(rec, box)), f(upperEnd(rec, box)));

export const reluBox = (rec: Recorder, box: Box): Box => monotoneBox(rec, box, (x) => relu(rec, x));

/** The box (N, out) of a linear layer of rows (N, in). */
export const linearBox = (net: Net, { center, radius }: Box, module: string): Box => ({
  center: net.linear(center, module),
  radius: linear(net.rec, radius, abs(net.rec, net.weight(`${module}.weight`))),
});
