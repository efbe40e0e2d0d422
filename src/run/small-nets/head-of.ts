/** The head that fits the actions of a world. */
import type { Actions } from "../../data/worlds/world.ts";
import { categorical } from "./categorical.ts";
import type { Head } from "./head.ts";
import { squashedGaussian } from "./squashed-gaussian.ts";

export const headOf = (actions: Actions): Head =>
  actions.count === undefined ? squashedGaussian(actions.dims, actions.bound) : categorical(actions.count);
