/** What a run of training refuses, or warns of, before any work. */
import { UserError } from "../../errors.ts";
import { flagOf } from "../../method/options.ts";
import type { Choices } from "./optimizer-and-schedule.ts";
import { matcher } from "./starting-model.ts";
import type { RunContext } from "./technique.ts";

/**
 * Throws UserError for a schedule that does not fit, before any work; warns of one that never reaches the rate that
 * was asked for.
 */
export function warnOfSchedule(context: RunContext, choices: Choices, steps: number): void {
  const { lr } = context.options;
  let most = 0;
  for (let step = 1; step <= steps && most < 0.999 * lr; step++) most = Math.max(most, choices.rate(step, steps));
  if (most < 0.999 * lr)
    context.warn(
      `the ${choices.schedule.method.name} schedule reaches ${((100 * most) / lr).toFixed(0)} % of --lr ${lr} at most in ${steps} steps; train longer, or shorten its phases`,
    );
}

/** Throws UserError for a pattern that matches no name. */
export function refuseUnmatched(options: RunContext["options"], names: readonly string[], ref: string): void {
  for (const option of ["freeze", "train_only"] as const)
    for (const pattern of options[option] ?? [])
      if (!names.some(matcher([pattern])))
        throw new UserError(
          `${flagOf(option)} ${pattern} matches no weight of ${ref}`,
          `names are like ${names[0]} and ${names.at(-1)}`,
        );
}
