/** Logged steps of a world, as networks read them, and batches of them. */

import type { LocatedValue } from "../../data/files/record.ts";
import type { Random } from "../../data/random.ts";
import { readValues } from "../../data/read-rows.ts";
import type { Action, State, World } from "../../data/worlds/world.ts";
import { UserError } from "../../errors.ts";
import { isObject, type Json } from "../../json.ts";
import type { Head } from "../../run/small-nets/head.ts";

/** One step. */
export interface Transition {
  readonly state: State;
  readonly action: Action;
  readonly reward: number;
  readonly next: State;
  readonly done: boolean;
}

/** Steps of one after the other: row i of `states` and `nexts` (width), of `encoded` (width of an action). */
export interface Batch {
  readonly rows: number;
  readonly steps: readonly Transition[];
  readonly states: Float64Array;
  readonly nexts: Float64Array;
  readonly encoded: Float64Array;
  readonly actions: readonly Action[];
  readonly rewards: Float64Array;
  /** 1 where nothing follows. */
  readonly ends: Float64Array;
}

/** All steps that there are; more may be added. */
export class Transitions {
  readonly all: Transition[];
  readonly #world: World;
  readonly #head: Head;

  constructor(world: World, head: Head, all: readonly Transition[]) {
    this.#world = world;
    this.#head = head;
    this.all = [...all];
  }

  /** Others of the same world. */
  of(all: readonly Transition[]): Transitions {
    return new Transitions(this.#world, this.#head, all);
  }

  batch(places: readonly number[]): Batch {
    const chosen = places.map((place) => this.all[place]!);
    return {
      rows: chosen.length,
      steps: chosen,
      states: Float64Array.from(chosen.flatMap(({ state }) => this.#world.observe(state))),
      nexts: Float64Array.from(chosen.flatMap(({ next }) => this.#world.observe(next))),
      encoded: Float64Array.from(chosen.flatMap(({ action }) => this.#head.encode(action))),
      actions: chosen.map(({ action }) => action),
      rewards: Float64Array.from(chosen, ({ reward }) => reward),
      ends: Float64Array.from(chosen, ({ done }) => Number(done)),
    };
  }

  /** `count` steps drawn with replacement. */
  draw(random: Random, count: number): Batch {
    return this.batch(Array.from({ length: count }, () => random.below(this.all.length)));
  }
}

const numbers = (value: Json | undefined): value is number[] =>
  Array.isArray(value) && value.every((x) => typeof x === "number");

/** A row as a step. Throws UserError for what is none of this world. */
function transitionOf({ value, place }: LocatedValue, world: World): Transition {
  const hint = `make rows by bun run data ${world.name}, and give its options and --environment-seed again`;
  if (!isObject(value)) throw new UserError(`${place}: expected a step of a world, found no object`, hint);
  const { state, action, reward, next, done, value: worth } = value;
  if (!numbers(state) || !numbers(next) || typeof reward !== "number" || typeof done !== "boolean")
    throw new UserError(`${place}: a step has state, action, reward, next and done`, hint);
  for (const [name, found] of Object.entries({ state, next }))
    if (!world.holds(found))
      throw new UserError(`${place}: ${name} [${found}] is no state of this ${world.name}`, hint);
  const { count, dims } = world.actions;
  const fits =
    count === undefined
      ? numbers(action) && action.length === dims
      : Number.isInteger(action) && (action as number) >= 0 && (action as number) < count;
  if (!fits) throw new UserError(`${place}: action ${JSON.stringify(action)} is none of this ${world.name}`, hint);
  if (typeof worth === "number" && Math.abs(worth - world.value(state)) > 1e-6 * Math.max(1, Math.abs(worth)))
    throw new UserError(`${place}: the state is worth ${worth}, and ${world.value(state)} in this ${world.name}`, hint);
  return { state, action: action as Action, reward, next, done };
}

/** Reads the steps of a file. Throws UserError for rows of another world. */
export async function readTransitions(file: string, world: World, head: Head): Promise<Transitions> {
  const all: Transition[] = [];
  for await (const row of readValues(file)) all.push(transitionOf(row, world));
  return new Transitions(world, head, all);
}
