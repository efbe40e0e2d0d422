/** The optimizer and the schedule that were chosen, with their values. */
import type { Bound } from "../../method/bind.ts";
import type { Picks } from "../../method/picks.ts";
import type { Optimizer } from "./optimizer.ts";
import type { OPTIMIZATION } from "./options.ts";
import type { Schedule } from "./schedule.ts";

export interface Choices {
  readonly optimizer: Bound<Optimizer>;
  readonly schedule: Bound<Schedule>;
  /** Steps of the schedule that an earlier run did; 0 when left out. */
  readonly past?: number;
  /** Learning rate of step t of `steps`. Throws UserError where the schedule does not fit. */
  rate(t: number, steps: number): number;
}

/** What `--optimizer`, `--schedule` and `--lr` say. */
export function choose(
  { optimizer: optimizers, schedule: schedules }: Pick<Picks<typeof OPTIMIZATION>, "optimizer" | "schedule">,
  lr: number,
): Choices {
  const [optimizer, schedule] = [optimizers[0]!, schedules[0]!];
  return {
    optimizer,
    schedule,
    rate: (t, steps) => schedule.method.rate(t, { lr, steps, values: schedule.values }),
  };
}
