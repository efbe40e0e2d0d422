/** What the parts of the bench measure, and how. */
import type { Gpu } from "../../../src/gpu/gpu.ts";

/** One number that was measured. */
export interface Figure {
  /** What was measured, with its sizes. */
  readonly name: string;
  readonly value: number;
  readonly unit: string;
}

/** How long a part may take: `quick` has small sizes and few runs. */
export interface Effort {
  readonly quick: boolean;
}

/** Measures one thing on an open adapter. */
export type Part = (gpu: Gpu, effort: Effort) => Promise<readonly Figure[]>;

/** The least time of several runs, in seconds, after one that compiles. */
export async function least(runs: number, work: () => Promise<unknown>): Promise<number> {
  await work();
  let best = Number.POSITIVE_INFINITY;
  for (let i = 0; i < runs; i++) {
    const began = performance.now();
    await work();
    best = Math.min(best, performance.now() - began);
  }
  return best / 1000;
}
