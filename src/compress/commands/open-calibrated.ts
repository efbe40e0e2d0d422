/** Opens the model that a command changes, and the rows that its layers read meanwhile. */
import type { Context } from "../../cli/context.ts";
import { refuseInputs } from "../../cli/target.ts";
import { groupsOf } from "../../data/groups.ts";
import { type ReadBatches, readBatches } from "../../run/batches-in-order.ts";
import { openModel } from "../../run/open-model.ts";
import type { CALIBRATION } from "../options.ts";

type Reading = Pick<Context<typeof CALIBRATION>, "args" | "options" | "out" | "warn" | "onExit">;

/**
 * Reads headers and rows, no weights; without --calibration there are no rows. `others` are files beside the model that
 * the run reads. Throws UserError where the result would take the place of an input.
 */
export async function openCalibrated(context: Reading, others: readonly string[] = []) {
  const { options, out } = context;
  const ref = context.args[0] ?? "-";
  const opened = await openModel(ref, options, (text) => context.warn(text));
  const { checkpoint, files } = opened;
  context.onExit(() => checkpoint.close());
  refuseInputs(out, [ref, ...others]);
  const { calibration, columns, batch_size: many } = options;
  const read: ReadBatches = calibration
    ? await readBatches(groupsOf(calibration, "--calibration", columns), opened, many)
    : { batches: [], rows: 0 };
  return { checkpoint, files, ...read };
}
