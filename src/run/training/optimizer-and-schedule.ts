/** The optimizer and the schedule that were asked for, with their own defaults; an option that neither has is refused. */

import { UserError } from "../../errors.ts";
import type { Options } from "../../method/options.ts";
import { loadMethod } from "../../method/registry.ts";
import type { Optimizer } from "./optimizer.ts";
import { OPTIMIZATION } from "./options.ts";
import type { Schedule } from "./schedule.ts";

type Given = Readonly<Record<string, unknown>>;

/** Values of a table: those given, else its defaults. */
const filled = (table: Options, given: Given): Record<string, unknown> =>
  Object.fromEntries(Object.entries(table).map(([name, spec]) => [name, given[name] ?? spec.default]));

/** Options that belong to some optimizer or schedule, and to no one else. */
const OWN = Object.keys(OPTIMIZATION)
  .filter((name) => !("default" in OPTIMIZATION[name as keyof typeof OPTIMIZATION]))
  .filter((name) => name !== "steps" && name !== "epochs");

export interface Choices {
  readonly optimizer: Optimizer;
  readonly values: Record<string, unknown>;
  readonly schedule: Schedule;
  readonly scheduleValues: Record<string, unknown>;
  /** Learning rate of step t of `steps`. */
  rate(t: number, steps: number): number;
}

/** Loads both files. Throws UserError for an option that was given and belongs to neither. */
export async function choose(given: Given): Promise<Choices> {
  const optimizer = await loadMethod("optimizer", String(given.optimizer), "--optimizer");
  const schedule = await loadMethod("schedule", String(given.schedule), "--schedule");
  for (const name of OWN) {
    if (given[name] === undefined || name in optimizer.options || name in schedule.options) continue;
    const flag = `--${name.replaceAll("_", "-")}`;
    throw new UserError(
      `${flag} means nothing to ${optimizer.name} with a ${schedule.name} schedule`,
      `leave it out, or choose another`,
    );
  }
  const scheduleValues = filled(schedule.options, given);
  const lr = given.lr as number;
  return {
    optimizer,
    values: filled(optimizer.options, given),
    schedule,
    scheduleValues,
    rate: (t, steps) => schedule.rate(t, { lr, steps, values: scheduleValues as never }),
  };
}
