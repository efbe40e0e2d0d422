/** What selections rank: the magnitudes of a task vector or of values held on the device; and what they find, a cut. */
import type { Chunk } from "../job/chunks.ts";
import type { TensorInputs } from "../job/tensor-inputs.ts";

/** Where the top begins: the k-th largest magnitude's bits and index. See wgsl/lib/top.wgsl. */
export interface Cut {
  readonly bits: number;
  readonly index: number;
}

/** The top of everything, and of nothing. */
export const ALL: Cut = { bits: 0, index: 0xffffffff };
export const NONE: Cut = { bits: 0x7fffffff, index: 0 };

/** Values of a tensor to rank by magnitude, in parts on the device. */
export interface Ranked {
  /** Conditions that kernels read the parts with. */
  readonly flags: readonly string[];
  readonly size: number;
  /** Number of parts. */
  readonly parts: number;
  /** Where in a part the values lie, in units of its pitch. */
  readonly slot: number;
  /** What is loaded together: selections that share it share their passes. */
  readonly source: object;
  /** Visits every part, in order. */
  each(visit: (part: RankedPart) => void): Promise<void>;
  /** Visits one part. */
  only(index: number, visit: (part: RankedPart) => void): Promise<void>;
}

export interface RankedPart {
  readonly index: number;
  readonly source: GPUBuffer;
  /** First index in the tensor, number of values, and vectors of four per slot. */
  readonly start: number;
  readonly length: number;
  readonly pitch: number;
}

/** The task vector of model `k` of a job. */
export function taskVector(inputs: TensorInputs, k: number): Ranked {
  const part = ({ index, stack: source, start, length, pitch }: Chunk): RankedPart => ({
    ...{ index, source, start, length, pitch },
  });
  return {
    flags: inputs.flags("delta"),
    size: inputs.size,
    parts: inputs.chunkCount,
    slot: inputs.first + k,
    source: inputs,
    each: (visit) => inputs.each((chunk) => visit(part(chunk))),
    only: (index, visit) => inputs.visit(index, (chunk) => visit(part(chunk))),
  };
}

/** f32 values that lie in buffers, one per chunk of a job. */
export function heldValues(
  size: number,
  parts: readonly { buffer: GPUBuffer; start: number; length: number }[],
): Ranked {
  const part = (index: number): RankedPart => {
    const { buffer, start, length } = parts[index]!;
    return { index, source: buffer, start, length, pitch: 0 };
  };
  return {
    flags: [],
    size,
    parts: parts.length,
    slot: 0,
    source: parts,
    each: async (visit) => parts.forEach((_, index) => void visit(part(index))),
    only: async (index, visit) => visit(part(index)),
  };
}
