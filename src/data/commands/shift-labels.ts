/** `data shift-labels`: a stream of rows whose labels change their meaning every so many rows. */
import type { Context, Outcome } from "../../cli/context.ts";
import { textOutput } from "../../cli/output.ts";
import { refuseInputs } from "../../cli/target.ts";
import { UserError } from "../../errors.ts";
import { isObject } from "../../json.ts";
import { readJsonFile } from "../files/jsonl.ts";
import { ShiftedLabels } from "../shifting/label-shifts.ts";
import type { SHIFT_LABELS } from "../shifting/options.ts";

/** Which labels change places follows from --seed and the number of the shift. */
export async function shiftLabels(context: Context<typeof SHIFT_LABELS>): Promise<Outcome | undefined> {
  const { options, out, seed, signal } = context;
  const { every, classes, shift, growth } = options;
  const file = context.args[0] ?? "-";
  refuseInputs(out, [file]);
  const target = context.dryRun || (options.json && out === "-") ? undefined : textOutput(out);
  context.onExit((ok) => (ok ? target?.commit() : target?.discard()));
  target?.write("");
  const labels = new ShiftedLabels({ every, classes, shift, growth, seed });
  let rows = 0;
  for await (const { value, place } of readJsonFile(file, { hint: "the rows come first, as JSON lines" })) {
    signal.throwIfAborted();
    const label = isObject(value) ? value.label : undefined;
    if (!isObject(value) || typeof label !== "number" || !Number.isInteger(label) || label < 0 || label >= classes)
      throw new UserError(
        `${place}: expected a label from 0 to ${classes - 1}, found ${JSON.stringify(label) ?? "none"}`,
        "--classes says how many there are",
      );
    rows++;
    target?.write(`${JSON.stringify({ ...value, label: labels.next(label) })}\n`);
  }
  if (options.json) context.json({ rows, shifts: labels.shifts });
  else if (context.dryRun) context.print(`${rows} rows, ${labels.shifts} shifts`);
  return out === "-" ? undefined : { output: `${out} (${rows} rows, ${labels.shifts} shifts)` };
}
