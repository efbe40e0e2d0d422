/**
 * What a training takes over from one on other data: the states of its optimizer, and the place of its schedule. Rates
 * of schedules that do not depend on the length of a run go on where they stood; others begin anew.
 */
import { UserError } from "../../errors.ts";
import type { Options, Values } from "../../method/options.ts";
import { findState, type SavedRun } from "./found-state.ts";
import type { Choices } from "./optimizer-and-schedule.ts";
import type { TrainingProgress } from "./training-state.ts";

export const CARRIED = {
  keep_state: {
    type: "boolean",
    default: false,
    decides: "nothing",
    help: "leave the state in its folder when the run is over, for --carry of another",
  },
  carry: {
    type: "string",
    help: "state of a run on other data: its optimizer goes on, and so does a schedule whose length is open (constant, infinite)",
    value: "DIR",
  },
} as const satisfies Options;

export type Carrying = Pick<Values<typeof CARRIED>, "keep_state" | "carry">;

/** Steps that the optimizer has done when the next step is the first of a training that carries this state. */
export const stepsDone = ({ step, past = 0 }: TrainingProgress): number => past + step;

/**
 * The state that `flag` names. Throws UserError where there is none, or where it is of another optimizer; `optimizer`
 * is the chosen one.
 */
export function carriedRun(folder: string, optimizer: string, flag = "--carry"): SavedRun {
  const found = findState(folder);
  if (!found)
    throw new UserError(
      `${flag} ${folder} holds no state of a run`,
      "bun run train --keep-state leaves one beside the result, such as tuned-state",
    );
  const own = found.progress.settings.optimizer ?? "adamw";
  if (own !== optimizer)
    throw new UserError(
      `${flag} ${folder} holds states of ${String(own)}, and this run has --optimizer ${optimizer}`,
      "train with the same optimizer, or begin with fresh states",
    );
  return found;
}

/** Whether a schedule goes on over several runs. */
export const goesOn = ({ schedule }: Choices): boolean => schedule.method.laws.lengthFree === true;

/** The choices of a run whose schedule has done `past` steps before. */
export const continued = (choices: Choices, past: number): Choices => ({
  ...choices,
  past,
  rate: (t, steps) => choices.rate(past + t, past + steps),
});
