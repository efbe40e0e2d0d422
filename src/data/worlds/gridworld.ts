/**
 * A square of cells with walls and one goal, whose reward of 1 ends the episode. A step goes where it is aimed, or by
 * chance (`slip`) in any of the four directions; against a wall it stays. Episodes start in any free cell but the goal.
 *
 * The optimum is that of value iteration over the horizon (Bellman 1957): V_0 = 0,
 * V_k(s) = max_a E[r + discount V_(k-1)(s')].
 */
import { Random } from "../random.ts";
import { HORIZON, type State, type World, worldKind } from "./world.ts";

/** Up, right, down, left: rows and columns. */
const MOVES = [
  [-1, 0],
  [0, 1],
  [1, 0],
  [0, -1],
] as const;

/** Where a move from a cell leads; the cell itself at a wall. */
function moved(side: number, isWall: Uint8Array, cell: number, action: number): number {
  const [down, right] = MOVES[action]!;
  const row = Math.floor(cell / side) + down;
  const column = (cell % side) + right;
  const isOut = row < 0 || column < 0 || row >= side || column >= side;
  return isOut || isWall[row * side + column] === 1 ? cell : row * side + column;
}

/** Whether all free cells can be reached from `from`. */
function isConnected(side: number, isWall: Uint8Array, from: number): boolean {
  const seen = new Set([from]);
  for (const cell of seen) for (const action of MOVES.keys()) seen.add(moved(side, isWall, cell, action));
  return seen.size === isWall.length - isWall.reduce((sum, wall) => sum + wall, 0);
}

/** Walls in random places, as many as the share asks for, but none that would cut cells off. */
function drawWalls(side: number, share: number, goal: number, random: Random): Uint8Array {
  const isWall = new Uint8Array(side * side);
  let left = Math.floor(share * side * side);
  for (const cell of random.shuffled([...isWall.keys()])) {
    if (left === 0) break;
    if (cell === goal) continue;
    isWall[cell] = 1;
    if (isConnected(side, isWall, goal)) left--;
    else isWall[cell] = 0;
  }
  return isWall;
}

export const gridworld = worldKind({
  name: "gridworld",
  options: {
    side: { type: "2 <= number.integer <= 32", default: 5, help: "cells along each side" },
    walls: { type: "0 <= number <= 0.5", default: 0.2, help: "share of cells that are walls, none that cut cells off" },
    slip: { type: "0 <= number <= 1", default: 0.1, help: "chance that a step goes in a random direction" },
    ...HORIZON,
  },

  open(seed, { side, walls, slip, discount, horizon }): World {
    const random = new Random(seed, "gridworld", side);
    const cells = side * side;
    const goal = random.below(cells);
    const isWall = drawWalls(side, walls, goal, random);
    const starts = [...isWall.keys()].filter((cell) => isWall[cell] === 0 && cell !== goal);
    const to = (cell: number, action: number) => moved(side, isWall, cell, action);
    const worth = (values: Float64Array, cell: number) => (cell === goal ? 1 : discount * values[cell]!);

    /** E[r + discount V(s')] of each action. */
    const looked = (values: Float64Array, cell: number): number[] => {
      const all = Array.from(MOVES, (_, action) => worth(values, to(cell, action)));
      const mean = all.reduce((sum, x) => sum + x, 0) / all.length;
      return all.map((x) => (1 - slip) * x + slip * mean);
    };
    let values = new Float64Array(cells);
    let before = values;
    for (let round = 0; round < horizon; round++) {
      before = values;
      values = new Float64Array(cells);
      for (const cell of starts) values[cell] = Math.max(...looked(before, cell));
    }
    const cellOf = ([row = 0, column = 0]: State) => row * side + column;
    const stateOf = (cell: number): State => [Math.floor(cell / side), cell % side];
    const optimum = starts.reduce((sum, cell) => sum + values[cell]!, 0) / starts.length;
    return {
      name: "gridworld",
      actions: { count: MOVES.length },
      width: cells,
      discount,
      horizon,
      optimum,
      observe: (state) => Array.from({ length: cells }, (_, cell) => (cell === cellOf(state) ? 1 : 0)),
      start: (chance) => stateOf(chance.pick(starts)),
      step(state, action, chance) {
        const aimed = chance.uniform() < slip ? chance.below(MOVES.length) : (action as number);
        const next = to(cellOf(state), aimed);
        return { reward: next === goal ? 1 : 0, next: stateOf(next), done: next === goal };
      },
      value: (state) => values[cellOf(state)]!,
      best(state) {
        const all = looked(before, cellOf(state));
        return all.indexOf(Math.max(...all));
      },
      half: ([, column = 0]) => (2 * column < side ? 0 : 1),
      holds: (state) =>
        state.length === 2 &&
        state.every((x) => Number.isInteger(x) && x >= 0 && x < side) &&
        isWall[cellOf(state)] === 0,
      facts: {
        map: Array.from({ length: side }, (_, row) =>
          Array.from({ length: side }, (_, column) => {
            const cell = row * side + column;
            return cell === goal ? "G" : isWall[cell] === 1 ? "#" : ".";
          }).join(""),
        ),
      },
    };
  },
});
