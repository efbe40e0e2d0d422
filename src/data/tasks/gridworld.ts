/**
 * Steps of a walker on a grid, as rows for offline reinforcement learning: what it saw, did and got, with the values
 * of the best policy beside it. After Sutton and Barto 2018, Reinforcement Learning, chapter 4.
 *
 * The walker takes the best move in a share of the steps and any move in the others. The live environment is
 * `environments/gridworld.ts`.
 */
import { type Behaviour, transitionAt } from "../environments/contract.ts";
import { type Cell, Gridworld, MOVES, type Move } from "../environments/gridworld.ts";
import { Random } from "../random.ts";
import { type Row, task } from "../task.ts";

const rounded = (x: number): number => Math.round(x * 1e6) / 1e6 + 0; // 0 for -0, which JSON does not keep

export const method = task({
  name: "gridworld",
  title: "Gridworld",
  about: "steps of a walker on a grid with a goal, and what the best policy would get",
  cite: "Sutton and Barto, Reinforcement Learning",
  splits: "independent episodes in the same grid",
  options: {
    side: { type: "2 <= number.integer <= 24", default: 5, help: "cells of a side" },
    walls: { type: "0 <= number <= 0.8", default: 0.2, help: "share of the cells that are walls" },
    slip: { type: "0 <= number <= 1", default: 0.1, help: "share of moves that go anywhere" },
    discount: { type: "0 <= number <= 0.999", default: 0.95, help: "what a reward one step later counts" },
    quality: { type: "0 <= number <= 1", default: 0.5, help: "share of steps in which the walker takes the best move" },
    horizon: { type: "1 <= number.integer <= 1000", default: 32, help: "steps of an episode" },
  },

  laws: {
    apart: "cells are few, so all splits have them",
    distinctRows: "cells are few, so steps come again",
    answered: true,
    endless: true,
  },
  trials: [{}, { side: 3, slip: 0, quality: 1, walls: 0 }],

  open({ seed, split }, { quality, horizon, ...options }) {
    const grid = new Gridworld(seed, options);
    const behaviour: Behaviour<Cell, Move> = {
      horizon,
      act: (cell, random) => (random.uniform() < quality ? grid.bestAction(cell) : random.below(MOVES)),
    };
    const best = new Map(grid.starts.map((cell) => [cell, grid.bestAction(cell)]));
    const mixed = (share: number) => (cell: Cell) =>
      Array.from({ length: MOVES }, (_, move) => (1 - share) / MOVES + (move === best.get(cell) ? share : 0));
    return {
      rows: Number.POSITIVE_INFINITY,
      facts: {
        shape: [grid.observed],
        classes: MOVES,
        optimal_return: rounded(grid.returnOf(mixed(1))),
        behaviour_return: rounded(grid.returnOf(mixed(quality))),
        random_return: rounded(grid.returnOf(mixed(0))),
        goal: grid.goal,
        starts: grid.starts,
      },
      row(index): Row {
        const [episode, step] = [Math.floor(index / horizon), index % horizon];
        const random = new Random(seed, "gridworld", split, episode);
        const { state, action, next, reward, done, first } = transitionAt(grid, behaviour, step, random);
        return {
          x: grid.observe(state),
          label: action,
          reward,
          next_x: grid.observe(next),
          done,
          ...{ episode, step, first, timeout: !done && step === horizon - 1 },
          optimal_value: rounded(grid.bestValue(state)),
          optimal_advantage: rounded(grid.bestActionValue(state, action) - grid.bestValue(state)),
        };
      },
    };
  },
});
