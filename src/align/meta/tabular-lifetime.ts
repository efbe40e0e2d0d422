/** A lifetime by advantages of a table of values, whose rate and entropy bonus are multiplied at each update. */
import type { Multipliers } from "./lifetime.ts";
import { addEntropy, addLog, type Lab, Tabular } from "./tabular.ts";

/** What it is worth at the end, in a world of several states; `length` counts updates. */
export function tabularLifetime(lab: Lab, multipliers: Multipliers, length: number, key: number): number {
  const learner = new Tabular(lab, key);
  for (let update = 0; update < length; update++) {
    const [rate, bonus] = multipliers(update / length, length);
    const into = new Float64Array(learner.logits.length);
    const trails = learner.walk();
    for (const trail of trails)
      for (const [i, gain] of learner.advantages(trail).entries()) {
        addLog(learner, into, [trail.states[i]!, trail.actions[i]!], gain);
        addEntropy(learner, into, trail.states[i]!, bonus * lab.entropy);
      }
    learner.raise(into, (lab.lr * rate) / trails.length);
  }
  return learner.worth();
}
