/**
 * Choices of experts and novices among arms whose mean rewards are known. The world: worlds/bandit.ts.
 *
 * Langford and Zhang, The epoch-greedy algorithm for contextual multi-armed bandits, NeurIPS 2007.
 */

import { bandit } from "../worlds/bandit.ts";
import { worldTask } from "../worlds/behaviours.ts";

export const method = worldTask(bandit, {
  title: "Contextual bandit",
  about: "choices of experts and novices among arms whose mean rewards are known; some are risky",
  cite: "Langford and Zhang, NeurIPS 2007",
  trials: [{}, { quality: "split", contexts: 3, arms: 2 }],
});
