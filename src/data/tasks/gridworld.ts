/**
 * Steps of experts and novices in a grid of cells with walls and a goal, with the value of each state under the best
 * policy. The world: worlds/gridworld.ts.
 *
 * Sutton and Barto, Reinforcement Learning: An Introduction, 2018, chapters 3 and 4.
 */
import { worldTask } from "../worlds/behaviours.ts";
import { gridworld } from "../worlds/gridworld.ts";

export const method = worldTask(gridworld, {
  title: "Grid world",
  about: "steps of experts and novices on a grid with walls and a goal; the best policy is known",
  cite: "Sutton and Barto, Reinforcement Learning",
  trials: [{}, { side: 3, walls: 0, slip: 0.5, quality: "split" }],
});
