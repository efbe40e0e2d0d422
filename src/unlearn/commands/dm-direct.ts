/** `unlearn dm-direct`: answers rows by what was foretold of a classifier without the rows to forget; no model runs. */
import type { Context, Outcome } from "../../cli/context.ts";
import { textOutput } from "../../cli/output.ts";
import { loadExamples } from "../../data/examples.ts";
import { groupsOf } from "../../data/groups.ts";
import { rowDigest } from "../../data/row-digest.ts";
import { UserError } from "../../errors.ts";
import { outputsWithout, readAttribution } from "../attribution/file.ts";
import type { DM_DIRECT } from "../attribution/options.ts";

export async function dmDirect(context: Context<typeof DM_DIRECT>): Promise<Outcome> {
  const { options, out } = context;
  const ref = context.args[0]!;
  const attribution = await readAttribution(ref);
  const reader = { classes: attribution.classes };
  const forget = await loadExamples(groupsOf(options.forget, "--forget", options.columns), reader);
  const rows = await loadExamples(groupsOf(options.data, "--data", options.columns), reader);
  const found = outputsWithout(attribution, forget, ref);
  const lines = rows.map((row) => {
    const logits = found.get(rowDigest(row));
    if (!logits)
      throw new UserError(`${row.place}: ${ref} foretells nothing of this row`, "give attribute such rows as --points");
    const most = logits.indexOf(Math.max(...logits));
    return { place: row.place, label: row.label, predicted: most, logits: [...logits] };
  });
  if (context.dryRun) {
    context.print(`${lines.length} rows, without ${forget.length}`);
    context.json({ rows: lines.length, forget: forget.length });
    return {};
  }
  const target = textOutput(out);
  context.onExit((ok) => (ok ? target.commit() : target.discard()));
  target.write(lines.map((line) => `${JSON.stringify(line)}\n`).join(""));
  const right = lines.filter(({ label, predicted }) => label === predicted).length;
  return { told: `${right} of ${lines.length} rows answered by their labels` };
}
