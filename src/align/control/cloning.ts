/** Behaviour cloning: the policy that makes the logged actions likely, whatever they brought. */
import { Random } from "../../data/random.ts";
import type { ControlSetup, Training } from "./contract.ts";
import { Policy } from "./policy.ts";
import type { Transitions } from "./transitions.ts";

/** The batches of offline updates, the same for all methods. */
export const offlineBatch = (rows: Transitions, { batch_size: size }: Training, seed: number, step: number) =>
  rows.draw(new Random(seed, "batch", step), size);

/** Clones a policy in the updates that a method has, of batches that are the same. */
export async function cloned({
  world,
  rows,
  training,
  seed,
  tick,
}: Pick<ControlSetup, "world" | "rows" | "training" | "seed" | "tick">): Promise<Policy> {
  const policy = Policy.fresh(world, training, seed);
  const { head } = policy;
  for (let step = 0; step < training.steps; step++) {
    const { states, actions, rows: count } = offlineBatch(rows, training, seed, step);
    policy.raise(states, count, (row, out, into) => head.addLogGradient(out, actions[row]!, 1, into));
    await tick();
  }
  return policy;
}
