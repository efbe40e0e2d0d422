/**
 * A grid with walls and a goal that is worth 1. Moves go up, right, down or left; some slip into a direction drawn at
 * random, and what would hit a wall stays. Values are found by value iteration (Bellman 1957), to 1e-12.
 */
import { Random } from "../random.ts";
import type { Environment } from "./contract.ts";

/** A cell, row by row from the top left. */
export type Cell = number;
/** 0 up, 1 right, 2 down, 3 left. */
export type Move = number;

export const MOVES = 4;

export interface GridOptions {
  /** Cells of a side. */
  readonly side: number;
  /** Share of the cells that are walls, before those that the goal cannot be reached from. */
  readonly walls: number;
  /** Share of moves that go anywhere. */
  readonly slip: number;
  readonly discount: number;
}

/** Chances of the four moves in a cell. */
export type Policy = (cell: Cell) => readonly number[];

export class Gridworld implements Environment<Cell, Move> {
  readonly observed: number;
  readonly discount: number;
  readonly goal: Cell;
  /** Cells to begin in: all that lead to the goal. */
  readonly starts: readonly Cell[];
  readonly #side: number;
  readonly #slip: number;
  readonly #walls: ReadonlySet<Cell>;
  readonly #best: Float64Array;

  /** The world that a seed makes. */
  constructor(seed: number, { side, walls, slip, discount }: GridOptions) {
    this.observed = side * side;
    this.discount = discount;
    this.#side = side;
    this.#slip = slip;
    const random = new Random(seed, "gridworld", side);
    const cells = random.shuffled(Array.from({ length: this.observed }, (_, cell) => cell));
    this.goal = cells[0]!;
    const built = new Set(cells.slice(1, 1 + Math.floor(walls * (this.observed - 2))));
    const reached = this.#reached(built);
    this.#walls = new Set(cells.filter((cell) => !reached.has(cell)));
    this.starts = [...reached].filter((cell) => cell !== this.goal).sort((a, b) => a - b);
    this.#best = this.#solve((values) => Math.max(...values));
  }

  /** Where a move leads; the same cell at a wall or the border. */
  #moved(cell: Cell, move: Move, walls: ReadonlySet<Cell> = this.#walls): Cell {
    const [row, column] = [Math.floor(cell / this.#side), cell % this.#side];
    const [y, x] = [row + [-1, 0, 1, 0][move]!, column + [0, 1, 0, -1][move]!];
    const target = y * this.#side + x;
    return y < 0 || x < 0 || y >= this.#side || x >= this.#side || walls.has(target) ? cell : target;
  }

  /** Cells that a path between the walls joins to the goal. */
  #reached(walls: ReadonlySet<Cell>): Set<Cell> {
    const found = new Set([this.goal]);
    for (const cell of found) for (let move = 0; move < MOVES; move++) found.add(this.#moved(cell, move, walls));
    return found;
  }

  /** The value of a move, given what cells are worth. */
  #worth(cell: Cell, move: Move, values: Float64Array): number {
    const at = (target: Cell) => (target === this.goal ? 1 : this.discount * values[target]!);
    let anywhere = 0;
    for (let other = 0; other < MOVES; other++) anywhere += at(this.#moved(cell, other)) / MOVES;
    return (1 - this.#slip) * at(this.#moved(cell, move)) + this.#slip * anywhere;
  }

  /** Values of all cells, where `of` says what a cell is worth by what its moves are. */
  #solve(of: (moves: readonly number[], cell: Cell) => number): Float64Array {
    const values = new Float64Array(this.observed);
    for (let change = 1; change > 1e-12; ) {
      change = 0;
      for (const cell of this.starts) {
        const value = of(this.actionValues(cell, values), cell);
        change = Math.max(change, Math.abs(value - values[cell]!));
        values[cell] = value;
      }
    }
    return values;
  }

  /** What each move is worth, by the best values unless others are given. */
  actionValues(cell: Cell, values = this.#best): number[] {
    return Array.from({ length: MOVES }, (_, move) => this.#worth(cell, move, values));
  }

  /** The mean value of a policy over the cells to begin in. */
  returnOf(policy: Policy): number {
    const values = this.#solve((moves, cell) => {
      const chances = policy(cell);
      return moves.reduce((sum, value, move) => sum + chances[move]! * value, 0);
    });
    return this.starts.reduce((sum, cell) => sum + values[cell]!, 0) / this.starts.length;
  }

  reset(random: Random): Cell {
    return random.pick(this.starts);
  }

  step(cell: Cell, move: Move, random: Random) {
    const went = random.uniform() < this.#slip ? random.below(MOVES) : move;
    const next = this.#moved(cell, went);
    const done = next === this.goal;
    return { next, reward: done ? 1 : 0, done };
  }

  /** A 1 at the place of the cell, among zeros. */
  observe(cell: Cell): number[] {
    return Array.from({ length: this.observed }, (_, other) => (other === cell ? 1 : 0));
  }

  bestAction(cell: Cell): Move {
    const values = this.actionValues(cell);
    return values.indexOf(Math.max(...values));
  }

  bestValue(cell: Cell): number {
    return this.#best[cell]!;
  }

  bestActionValue(cell: Cell, move: Move): number {
    return this.#worth(cell, move, this.#best);
  }
}
