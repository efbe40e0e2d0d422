/**
 * Inputs of several parts that one network looks at, part by part, before layers that see all of them: an observation
 * before and one after, of which the action between them is to be told. What is learnt so is a state of one part.
 *
 * config.json has `input_parts` P, of which the input has the numbers one after the other, and `joint_sizes`, hidden
 * layers over the states of all parts. Inverse dynamics pretraining: "Inverse Dynamics Pretraining Learns Good
 * Representations for Multitask Imitation", NeurIPS 2023, https://arxiv.org/abs/2305.16985
 */

import { UserError } from "../../errors.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import type { Json, Net, ParameterSpec } from "../architecture.ts";
import type { ConfigReader } from "../config.ts";

export interface InputParts {
  readonly parts: number;
  readonly joint: readonly number[];
}

/** Reads it; undefined where the input is one part. Throws UserError. */
export function inputParts(c: ConfigReader, input: number): InputParts | undefined {
  const parts = c.count("input_parts", 1);
  const joint = c.counts("joint_sizes", []);
  if (parts === 1 && joint.length > 0)
    throw new UserError(`${c.where}: joint_sizes are layers over several parts`, "give input_parts, 2 or more");
  if (input % parts !== 0)
    throw new UserError(
      `${c.where}: an input of ${input} numbers (input_size) has no ${parts} equal parts (input_parts)`,
      "input_size counts the numbers of all parts",
    );
  return parts === 1 ? undefined : { parts, joint };
}

/** How config.json says it. */
export const partsJson = (parts: InputParts | undefined): Json =>
  parts ? { input_parts: parts.parts, joint_sizes: [...parts.joint] } : {};

/** Numbers that the head reads, over states of `width`. */
export const partsWidth = (parts: InputParts | undefined, width: number): number =>
  parts ? (parts.joint.at(-1) ?? parts.parts * width) : width;

/** Weights over all parts, whose states have `width` numbers; `linear` gives those of a layer. */
export const jointParameters = (
  { parts, joint }: InputParts,
  width: number,
  linear: (module: string, into: number, out: number) => ParameterSpec[],
): ParameterSpec[] => joint.flatMap((out, i) => linear(`joint.${i}`, joint[i - 1] ?? parts * width, out));

/** The states of parts (B P, width) as those of rows, through the joint layers: (B, ...). */
export function joined(net: Net, { parts, joint }: InputParts, x: Tensor, activation: (x: Tensor) => Tensor): Tensor {
  const [n = 0, width = 0] = x.shape;
  let all = net.note("joined", net.rec.reshape(x, [n / parts, parts * width]));
  for (const i of joint.keys()) all = activation(net.linear(all, `joint.${i}`));
  return all;
}
