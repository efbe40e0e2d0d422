/** Checkpoints whose weights are stored as codes and change in a merge. */
import { type Checkpoint, quantizationText } from "../../checkpoint/checkpoint.ts";

/** Says what becomes of codes that an adapter changes. */
export function dequantizedRemarks({ ref, quantized, tensors }: Checkpoint): string[] {
  if (!quantized || ![...tensors.values()].some(({ patch }) => patch)) return [];
  return [
    `${ref} adds an adapter to weights that are stored as codes (${quantizationText(quantized)}): the result holds their values and the change, in f32 without --out-dtype; compress makes codes of it again`,
  ];
}
