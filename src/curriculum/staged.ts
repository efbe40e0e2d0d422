/** Mixtures one after the other: what static mixtures and recipes of stages have in common. They hear nothing. */

import type { Sampler, Segment } from "./contract.ts";
import { kept } from "./sampler-state.ts";

/**
 * Whole numbers of steps in proportion to `lengths` that sum to `steps`: the ends of stages are rounded, not their
 * lengths.
 */
export function stageSteps(lengths: readonly number[], steps: number): number[] {
  const all = lengths.reduce((a, b) => a + b, 0);
  let ended = 0;
  let sum = 0;
  return lengths.map((length) => {
    const before = ended;
    sum += length;
    ended = Math.round((steps * sum) / all);
    return ended - before;
  });
}

/** Stages of no steps are left out; the last lasts for as long as the training does. */
export function staged(stages: readonly Segment[], notes?: () => Record<string, unknown>): Sampler {
  const used = stages.filter(({ steps }) => steps > 0);
  const segments = used.map((stage, i) =>
    i === used.length - 1 ? { ...stage, steps: Number.POSITIVE_INFINITY } : stage,
  );
  const memory = { stage: 0 };
  return {
    ...kept(memory),
    segment: () => segments[memory.stage]!,
    update() {
      memory.stage = Math.min(memory.stage + 1, segments.length - 1);
    },
    ...(notes && { notes }),
  };
}
