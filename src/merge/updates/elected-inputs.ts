/**
 * Inputs as TIES leaves them before it averages: entries of a task vector that are not among the largest, or go against
 * the elected sign, are the base's. What is left is still a stack of inputs, so that coefficients multiply it.
 */
import { spanGroups } from "../../gpu/grid.ts";
import { outFlag, paddedBytes } from "../../tensor/load.ts";
import type { Chunk } from "../job/chunks.ts";
import type { TensorInputs } from "../job/tensor-inputs.ts";
import type { Prepared } from "../tuning/contract.ts";
import { magnitude, packSparsity } from "./sparsify.ts";

/** Finds the thresholds of a tensor (two passes where anything is trimmed), then gives the elected inputs of chunks. */
export async function electedInputs(
  inputs: TensorInputs<{ density: number[] }>,
): Promise<(chunk: Chunk) => Promise<Prepared>> {
  const sparsified = await magnitude.find(inputs);
  const ones = sparsified.models.map(() => 1);
  const models = inputs.constants(packSparsity(sparsified, ones, ones), "trimmed");
  const { gpu, dtype, slots, count, name } = inputs;
  const flags = inputs.flags(...(sparsified.flag ? [sparsified.flag] : []), ...outFlag(dtype));
  const kernel = await gpu.kernel("merge/elect-inputs", { flags, constants: { K: count } });
  return async ({ stack, n4, pitch, start, length }) => {
    const chosen = gpu.buffer(slots * paddedBytes(length, dtype), `${name} elected`);
    gpu.run(kernel, {
      bind: { stack, models, chosen: chosen.buffer },
      params: { n4, pitch, start },
      groups: spanGroups(n4),
    });
    return { stack: chosen.buffer, dtype, pitch, free: () => chosen.free() };
  };
}
