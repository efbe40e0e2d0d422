/**
 * The course of a run: stages that follow one another, each of so many units of work. Between two units it can be
 * saved, and another one that is made alike goes on from there bit for bit.
 */
import type { Kept } from "../../run/small-nets/kept.ts";

export interface Stage {
  readonly units: number;
  /** The units are run in their order, from 0 on. */
  run(unit: number): Promise<void>;
}

export interface Course extends Kept {
  readonly stages: readonly Stage[];
}

/** The unit that comes next. */
export interface Place {
  readonly stage: number;
  readonly unit: number;
}

export const BEGINNING: Place = { stage: 0, unit: 0 };

/** Runs what is left of a course; `after` hears of the place behind each unit. */
export async function follow(
  { stages }: Pick<Course, "stages">,
  from: Place,
  after: (next: Place) => Promise<void>,
): Promise<void> {
  for (const [stage, { units, run }] of stages.entries()) {
    if (stage < from.stage) continue;
    for (let unit = stage === from.stage ? from.unit : 0; unit < units; unit++) {
      await run(unit);
      await after({ stage, unit: unit + 1 });
    }
  }
}
