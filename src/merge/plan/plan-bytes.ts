/** What a merge reads and writes, by the sizes in the headers. */
import type { TensorInfo } from "../../checkpoint/checkpoint.ts";
import { DTYPE_BYTES } from "../../checkpoint/dtype.ts";
import { sizeOf } from "../../tensor/tensor.ts";
import { entriesOf } from "../job/task.ts";
import type { MergePlan } from "./merge-plan.ts";

/** What `--dry-run` states: bytes read and written, by the sizes in the headers. */
export function planBytes(plan: MergePlan): { input: number; output: number; tensors: number } {
  let input = 0;
  let output = 0;
  for (const tensor of plan.tensors) {
    output += sizeOf(tensor.shape) * DTYPE_BYTES[tensor.outDtype];
    for (const entry of entriesOf(tensor)) {
      input += tensor.crop === undefined ? entry.bytes : tensor.crop.rows * entry.shape[1]! * DTYPE_BYTES[entry.dtype];
    }
  }
  return { input, output, tensors: plan.tensors.length };
}

/** The tensors of the result. */
export const outputsOf = (plan: MergePlan): TensorInfo[] =>
  plan.tensors.map(({ name, outDtype, shape }) => ({
    name,
    dtype: outDtype,
    shape,
    bytes: sizeOf(shape) * DTYPE_BYTES[outDtype],
  }));
