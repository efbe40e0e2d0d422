/** Behaviour cloning: the policy that makes the logged actions likely, whatever they brought. */
import { Random } from "../../data/random.ts";
import type { Numbers } from "../../run/small-nets/kept.ts";
import type { ControlSetup, Training } from "./contract.ts";
import type { Course, Stage } from "./course.ts";
import { Policy } from "./policy.ts";
import type { Transitions } from "./transitions.ts";

/** The batches of offline updates, the same for all methods. */
export const offlineBatch = (rows: Transitions, { batch_size: size, augment }: Training, seed: number, step: number) =>
  rows.draw(new Random(seed, "batch", step), size, augment);

/** A policy that clones the rows in the updates that a method has, of batches that are the same. */
export class Cloning implements Course {
  readonly policy: Policy;
  readonly stages: readonly Stage[];

  constructor({ world, rows, training, seed, tick }: Omit<ControlSetup, "values" | "note" | "from">) {
    this.policy = Policy.fresh(world, training, seed);
    const { head } = this.policy;
    const run = async (step: number) => {
      const { states, actions, rows: count } = offlineBatch(rows, training, seed, step);
      this.policy.raise(states, count, (row, out, into) => head.addLogGradient(out, actions[row]!, 1, into));
      await tick();
    };
    this.stages = [{ units: training.steps, run }];
  }

  state(): Numbers {
    return this.policy.state();
  }

  load(numbers: Numbers): void {
    this.policy.load(numbers);
  }
}
