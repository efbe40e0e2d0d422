/**
 * Pushes of experts and novices that bring a mass to the origin, with the value of each state under the best policy.
 * The world: worlds/pointmass.ts.
 *
 * Kalman 1960, Contributions to the theory of optimal control.
 */
import { worldTask } from "../worlds/behaviours.ts";
import { pointmass } from "../worlds/pointmass.ts";

export const method = worldTask(pointmass, {
  title: "Point mass",
  about: "pushes of experts and novices on a mass; the best policy is linear and known",
  cite: "Kalman 1960, Contributions to the theory of optimal control",
  trials: [{}, { axes: 3, expert_noise: 0, expert: 1 }],
});
