/**
 * What a method of `align control` is: it learns a small policy from logged steps of a world, and may go on in the
 * world itself. Networks are small multilayer perceptrons on the host, in f64.
 */

import type { Random } from "../../data/random.ts";
import type { Action, State, World } from "../../data/worlds/world.ts";
import type { Options, Values } from "../../method/options.ts";
import type { MethodInfo } from "../../method/registry.ts";
import type { NamedTensor } from "../../run/small-nets/mlp.ts";
import type { Care } from "../../run/small-nets/trained.ts";
import type { Course } from "./course.ts";
import type { Networks } from "./networks.ts";
import type { CONTROL } from "./options.ts";
import type { Transitions } from "./transitions.ts";

/** What acts: draws an action, or without `random` takes the likeliest. */
export type Actor = (state: State, random?: Random) => Action;

/** How networks are made and trained. */
export type Training = Pick<Values<typeof CONTROL>, "steps" | "batch_size" | "lr" | "hidden"> &
  Care & { readonly augment?: number };

export interface ControlSetup<O extends Options = Options> {
  readonly world: World;
  readonly rows: Transitions;
  readonly values: Values<O>;
  readonly training: Training;
  readonly seed: number;
  /** What it begins with, in place of fresh networks. */
  readonly from?: Networks;
  /** Hears of each update, lets signals through, and throws when the work is to end. */
  tick(): Promise<void>;
  /** For the log. */
  note(step: number, told: Readonly<Record<string, number>>): void;
}

export interface Learnt {
  readonly actor: Actor;
  /** For `--json`, keys in snake_case. */
  readonly told: Readonly<Record<string, unknown>>;
}

/** A run of a method. */
export interface Learning extends Course {
  /** The networks as they are, for a file: `policy` and those of critics. */
  networks(): NamedTensor[];
  /** What came of it; asked for once, at the end. */
  learnt(): Learnt;
}

export interface ControlMethod<O extends Options = Options> extends MethodInfo<O> {
  /** Throws UserError for options that contradict each other. */
  check?(values: Values<O>): void;
  /** How many updates there will be. */
  updates(values: Values<O>, training: Training): number;
  /** Throws UserError where `from` does not fit. */
  begin(setup: ControlSetup<O>): Learning;
}

export const controlMethod = <const O extends Options>(definition: ControlMethod<O>): ControlMethod<O> => definition;

declare module "../../method/registry.ts" {
  interface Contracts {
    control: ControlMethod;
  }
}
