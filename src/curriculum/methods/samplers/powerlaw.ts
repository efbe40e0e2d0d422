/**
 * Tasks one after the other, with rehearsal of earlier ones: their shares fall as a power of how long ago they were.
 * https://arxiv.org/abs/2401.10393
 *
 * While task n is learned it has the share 1 - f, and task j < n the share f (n - j)^(-d) / sum. Other kernels with the
 * same f: exponential, exp(-d (n - j)); uniform over earlier tasks; recent, the last one alone; none, without
 * rehearsal. The first task has nothing to rehearse. Groups are tasks, in their order.
 */

import { normalised } from "../../../run/simplex.ts";
import { defineSampler } from "../../contract.ts";
import { placesOf } from "../../mixture-options.ts";
import { staged, stageSteps } from "../../staged.ts";

export const method = defineSampler({
  name: "powerlaw",
  title: "Power-law rehearsal",
  about: "tasks in turn, with rehearsal of earlier ones by a power of how long ago they were",
  cite: "arXiv:2401.10393",
  laws: {
    keepsEveryGroup: "later tasks wait for their turn",
    followsLosses: "tasks come one after the other, whatever their losses",
    anyGroupOrder: true,
    shiftInvariant: "it hears no losses",
    stepZero: "it has no step size",
  },
  trials: [{ tasks: ["b", "a", "d", "c"] }],
  options: {
    tasks: { type: "string[]", help: "groups in the order in which they are learned; as given when left out" },
    rehearsal_decay: { type: "number >= 0", default: 1, help: "d, how fast rehearsal falls; 0 is uniform" },
    budget: { type: "0 <= number < 1", default: 0.3, help: "f, the share of rehearsal; 0 is one task at a time" },
    kernel: {
      type: "'power' | 'exponential' | 'uniform' | 'recent' | 'none'",
      default: "power",
      help: "form of the decay",
    },
    lengths: { type: "'equal' | 'rows'", default: "equal", help: "how long tasks last" },
  },
  make({ groups, steps, values: { tasks: named, rehearsal_decay: decay, budget, kernel, lengths } }) {
    const first = placesOf(named ?? [], groups, "--tasks");
    const tasks = [...first, ...groups.flatMap((_, i) => (first.includes(i) ? [] : [i]))];
    const weight = (distance: number): number => {
      if (kernel === "power") return distance ** -decay;
      if (kernel === "exponential") return Math.exp(-decay * (distance - 1));
      return kernel === "uniform" || distance === 1 ? 1 : 0;
    };
    const ends = stageSteps(
      tasks.map((task) => (lengths === "rows" ? groups[task]!.rows : 1)),
      steps,
    );
    return staged(
      tasks.map((task, n) => {
        const rehearsed = n === 0 || kernel === "none" ? 0 : budget;
        const old = normalised(tasks.slice(0, n).map((_, j) => weight(n - j)));
        const probs = groups.map(() => 0);
        for (const [j, share] of old.entries()) probs[tasks[j]!] = rehearsed * share;
        probs[task] = 1 - rehearsed;
        return { probs, steps: ends[n]! };
      }),
    );
  },
});
