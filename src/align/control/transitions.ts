/** Logged steps of a world, as networks read them, and batches of them. */

import type { LocatedValue } from "../../data/files/record.ts";
import type { Random } from "../../data/random.ts";
import { readValues } from "../../data/read-rows.ts";
import type { Action, State, World } from "../../data/worlds/world.ts";
import { UserError } from "../../errors.ts";
import { isObject, type Json } from "../../json.ts";
import type { Head } from "../../run/small-nets/head.ts";
import { type Kept, type Numbers, numbersOf } from "../../run/small-nets/kept.ts";

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

/** All steps that there are; more may be added, and those are what is kept of it. */
export class Transitions implements Kept {
  readonly all: Transition[];
  /** How many there were at first. */
  readonly given: number;
  readonly #world: World;
  readonly #head: Head;

  constructor(world: World, head: Head, all: readonly Transition[]) {
    this.#world = world;
    this.#head = head;
    this.all = [...all];
    this.given = all.length;
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

  /** Tells these rows from others. */
  digest(): string {
    return Bun.hash.xxHash64(JSON.stringify(this.all.slice(0, this.given))).toString(16);
  }

  state(): Numbers {
    const added = this.all.slice(this.given).flatMap(({ state, action, reward, next, done }) => {
      return [...state, ...[action].flat(), reward, ...next, Number(done)];
    });
    return { added: Float64Array.from(added) };
  }

  load(numbers: Numbers): void {
    const added = numbersOf(numbers, "added");
    const width = this.all[0]!.state.length;
    const { dims } = this.#world.actions;
    const size = 2 * width + (dims ?? 1) + 2;
    this.all.length = this.given;
    for (let at = 0; at < added.length; at += size) {
      const values = [...added.subarray(at, at + size)];
      const [state, action] = [values.splice(0, width), values.splice(0, dims ?? 1)];
      const [reward = 0] = values.splice(0, 1);
      const next = values.splice(0, width);
      this.all.push({ state, action: dims === undefined ? action[0]! : action, reward, next, done: values[0] === 1 });
    }
  }

  /** `count` steps drawn with replacement, whose observations have noise of that deviation. */
  draw(random: Random, count: number, noise = 0): Batch {
    const batch = this.batch(Array.from({ length: count }, () => random.below(this.all.length)));
    if (noise === 0) return batch;
    const noisy = (values: Float64Array) => values.map((x) => x + noise * random.normal());
    return { ...batch, states: noisy(batch.states), nexts: noisy(batch.nexts) };
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
