/**
 * A tree of ways through the layers, searched for a short one that answers right. Heakl et al. 2025, Dr.LLM,
 * https://arxiv.org/abs/2510.12773
 *
 * A way is how often each layer runs, at most twice. From a way go ways with one or two neighbours of its path less,
 * and ways with a layer that runs again. A round goes down by
 *
 *   mean reward + c sqrt(ln rounds / visits) - lambda length / layers
 *
 * or by chance, to a way that may have another child, of which there are at most 1 + sqrt(visits): so the tree grows
 * deep as well as wide. The paper says of expansion that a visited leaf gets one untried child.
 */
import { MOST_TURNS } from "../../run/depth/routers.ts";

export interface SearchOptions {
  /** Weight of what was seldom visited. */
  readonly explore: number;
  /** Weight of the length of a way. */
  readonly shorter: number;
  /** Chance that a step down goes to any child. */
  readonly chance: number;
  /** Most rounds. */
  readonly rounds: number;
  /** Layers fewer that end the search where the whole model is right. */
  readonly enough: number;
}

export type Times = readonly number[];

const lengthOf = (times: Times): number => times.reduce((sum, count) => sum + count, 0);
const distinct = (times: Times): number => times.filter((count) => count > 0).length;

interface Node {
  readonly times: Times;
  readonly children: Node[];
  /** Ways that can be reached and were not tried. */
  untried: Times[] | undefined;
  visits: number;
  reward: number;
}

/**
 * The ways that one step leads to, each once. Some layer always runs, and paths have at most twice as many as layers.
 */
export function stepsFrom(times: Times): Times[] {
  const path = times.flatMap((count, layer) => Array<number>(count).fill(layer));
  const found = new Map<string, Times>();
  const add = (layers: readonly number[], change: number) => {
    const next = [...times];
    for (const layer of layers) next[layer]! += change;
    const isWay = next.every((count) => count >= 0 && count <= MOST_TURNS) && lengthOf(next) > 0;
    if (isWay && lengthOf(next) <= 2 * times.length) found.set(next.join(), next);
  };
  for (const [i, layer] of path.entries()) {
    add([layer], -1);
    if (i + 1 < path.length) add([layer, path[i + 1]!], -1);
    add([layer], 1);
  }
  return [...found.values()];
}

/** What a search found: the way to take, where one is right. */
export interface Found {
  readonly times: Times | undefined;
  /** Whether the whole model is right. */
  readonly isRight: boolean;
  readonly tried: number;
}

/** The search for one row. `unit` gives numbers in [0, 1). */
export class PathTree {
  readonly #options: SearchOptions;
  readonly #unit: () => number;
  readonly #root: Node;
  readonly #rewards = new Map<string, number>();
  #rounds = 0;
  /** From the root to the way that is to be tried. */
  #line: Node[] = [];
  #best: Times | undefined;
  #isDone = false;

  constructor(layers: number, options: SearchOptions, unit: () => number) {
    this.#options = options;
    this.#unit = unit;
    this.#root = PathTree.#node(Array<number>(layers).fill(1));
  }

  static #node(times: Times): Node {
    return { times, children: [], untried: undefined, visits: 0, reward: 0 };
  }

  /** The next way to try; undefined where the search is over. Ways that were tried are counted at once. */
  next(): Times | undefined {
    while (!this.#isDone && this.#rounds <= this.#options.rounds) {
      this.#line = this.#descend();
      const { times } = this.#line.at(-1)!;
      const known = this.#rewards.get(times.join());
      if (known === undefined) return times;
      this.#count(known);
    }
    this.#isDone = true;
    return undefined;
  }

  /** Takes whether the way of `next` answers right. */
  hear(isRight: boolean): void {
    const { times } = this.#line.at(-1)!;
    this.#rewards.set(times.join(), isRight ? 1 : 0);
    if (isRight && this.#isBetter(times)) this.#best = times;
    this.#count(isRight ? 1 : 0);
    const whole = this.#rewards.get(this.#root.times.join()) === 1;
    const isShort = lengthOf(times) <= this.#root.times.length - this.#options.enough;
    if (isRight && times !== this.#root.times && (!whole || isShort)) this.#isDone = true;
  }

  #count(reward: number): void {
    this.#rounds++;
    for (const node of this.#line) {
      node.visits++;
      node.reward += reward;
    }
  }

  /** Shorter ways are better, and of equal length those of fewer layers. */
  #isBetter(times: Times): boolean {
    if (!this.#best) return true;
    const [own, best] = [lengthOf(times), lengthOf(this.#best)];
    return own < best || (own === best && distinct(times) < distinct(this.#best));
  }

  #descend(): Node[] {
    const line = [this.#root];
    for (;;) {
      const node = line.at(-1)!;
      if (node.visits === 0) return line;
      node.untried ??= stepsFrom(node.times);
      const mayGrow = node.untried.length > 0 && node.children.length < 1 + Math.sqrt(node.visits);
      if (mayGrow) {
        const [times] = node.untried.splice(Math.floor(this.#unit() * node.untried.length), 1);
        const child = PathTree.#node(times!);
        node.children.push(child);
        return [...line, child];
      }
      if (node.children.length === 0) return line;
      line.push(this.#pick(node.children));
    }
  }

  #pick(children: readonly Node[]): Node {
    const { chance, explore, shorter } = this.#options;
    if (this.#unit() < chance) return children[Math.floor(this.#unit() * children.length)]!;
    const layers = this.#root.times.length;
    const worth = children.map(
      ({ times, visits, reward }) =>
        reward / visits + explore * Math.sqrt(Math.log(this.#rounds) / visits) - (shorter * lengthOf(times)) / layers,
    );
    return children[worth.indexOf(Math.max(...worth))]!;
  }

  get found(): Found {
    const isRight = this.#rewards.get(this.#root.times.join()) === 1;
    return { times: this.#best, isRight, tried: this.#rewards.size };
  }
}
