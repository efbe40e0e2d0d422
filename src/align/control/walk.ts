/** A walk in a world, one episode after another, by whoever acts. */
import { Random } from "../../data/random.ts";
import type { State, World } from "../../data/worlds/world.ts";
import { type Kept, type Numbers, numbersOf } from "../../run/small-nets/kept.ts";
import type { Actor } from "./contract.ts";
import type { Transition } from "./transitions.ts";

/** A step, and the return of the episode where it was the last one. */
export interface Walked {
  readonly step: Transition;
  readonly ended?: number;
}

export class Walk implements Kept {
  readonly #world: World;
  readonly #chance: Random;
  #state: State;
  #age = 0;
  #total = 0;
  #weight = 1;

  constructor(world: World, seed: number) {
    this.#world = world;
    this.#chance = new Random(seed, "online");
    this.#state = world.start(this.#chance);
  }

  /** An episode ends where nothing follows, or is cut at the horizon. */
  step(actor: Actor): Walked {
    const state = this.#state;
    const action = actor(state, this.#chance);
    const stepped = this.#world.step(state, action, this.#chance);
    const step = { state, action, ...stepped };
    this.#total += this.#weight * stepped.reward;
    this.#weight *= this.#world.discount;
    this.#age++;
    this.#state = stepped.next;
    if (!stepped.done && this.#age < this.#world.horizon) return { step };
    const ended = this.#total;
    this.#begin(this.#world.start(this.#chance), 0, 0, 1);
    return { step, ended };
  }

  #begin(state: State, age: number, total: number, weight: number): void {
    this.#state = state;
    this.#age = age;
    this.#total = total;
    this.#weight = weight;
  }

  state(): Numbers {
    return {
      state: Float64Array.from(this.#state),
      counts: Float64Array.of(this.#age, this.#total, this.#weight),
      chance: Float64Array.from(this.#chance.place),
    };
  }

  load(numbers: Numbers): void {
    const [age, total, weight] = numbersOf(numbers, "counts", 3);
    this.#begin([...numbersOf(numbers, "state", this.#state.length)], age!, total!, weight!);
    this.#chance.place = [...numbersOf(numbers, "chance", 4)];
  }
}
