/** Kernels that leave a few numbers of much data: runs them part by part and hands the numbers to the host in order. */
import type { Dispatch, Gpu } from "../../gpu/gpu.ts";
import type { Kernel } from "../../gpu/kernel.ts";

interface Numbers {
  f32: Float32Array;
  u32: Uint32Array;
}

/** How a kernel reduces a part of type `P` to numbers of type `T`, and what becomes of them. */
export interface Reduction<P, T extends keyof Numbers = "f32"> {
  /** What the kernel leaves: "f32" when left out. */
  readonly type?: T;
  /** Numbers that one run leaves of a part. */
  readonly count: (part: P) => number;
  /** Runs of the kernel per part (of each pair of inputs, say), each leaving its numbers; 1 when left out. */
  readonly runs?: number;
  /** The kernel adds to its numbers, so they begin at 0. */
  readonly zeroed?: boolean;
  /** Buffers (`partials` is where the numbers go), parameters and grid of one run. */
  readonly dispatch: (part: P, partials: GPUBuffer, run: number) => Dispatch;
  /**
   * Takes the numbers of one run. Called in the order of parts and runs whatever arrives first, so sums have the same
   * bits.
   */
  readonly fold: (numbers: Numbers[T], part: P, run: number) => void;
}

/** One pass over parts, in order: `visit` records work on each. */
export type EachPart<P> = (visit: (part: P) => void) => Promise<void>;

/**
 * Runs `kernel` over every part and folds what it leaves. All parts are recorded before the first number is awaited, so
 * later parts load while earlier ones compute. Device memory: 4 bytes per number until it is read.
 */
export async function reduceParts<P, T extends keyof Numbers = "f32">(
  gpu: Gpu,
  label: string,
  kernel: Kernel,
  each: EachPart<P>,
  reduction: Reduction<P, T>,
): Promise<void> {
  const { type, count, runs = 1, zeroed = false, dispatch, fold } = reduction;
  const read = (type === "u32" ? gpu.readWords : gpu.readFloats).bind(gpu) as (
    buffer: GPUBuffer,
    count: number,
  ) => Promise<Numbers[T]>;
  const reads: { part: P; run: number; numbers: Promise<Numbers[T]> }[] = [];
  await each((part) => {
    for (let run = 0; run < runs; run++) {
      const size = count(part);
      const partials = gpu.buffer(4 * size, `${label} partials`);
      if (zeroed) gpu.clear(partials.buffer, 4 * size);
      gpu.run(kernel, dispatch(part, partials.buffer, run));
      const numbers = read(partials.buffer, size).finally(() => partials.free());
      numbers.catch(() => {}); // reported when it is awaited
      reads.push({ part, run, numbers });
    }
  });
  for (const { part, run, numbers } of reads) fold(await numbers, part, run);
}
