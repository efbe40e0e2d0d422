/** `unlearn importance`: measures how much each weight matters to all data, once, for later edits without the data. */

import { tryTarget } from "../../checkpoint/write/try-target.ts";
import type { Context, Outcome } from "../../cli/context.ts";
import { groupsOf } from "../../data/groups.ts";
import { openGpu } from "../../gpu/gpu.ts";
import { readBatches } from "../../run/batches-in-order.ts";
import { measureImportance } from "../../run/fisher/importance.ts";
import { humanBytes } from "../../text/format.ts";
import { opened } from "../edit.ts";
import { saveImportance } from "../importance.ts";
import type { IMPORTANCE } from "../options.ts";

export async function writeImportance(context: Context<typeof IMPORTANCE>): Promise<Outcome> {
  const { options, signal } = context;
  const source = await opened(context, context.args[0] ?? "-");
  const { begun } = source;
  const { fisher, label_free: labelFree } = options;
  const rows = fisher === "sample" ? 1 : options.batch_size;
  const { batches } = await readBatches(groupsOf(options.retain, "--retain"), source, rows);
  if (context.dryRun) {
    if (options.json) context.json({ batches: batches.length, rows });
    else context.print(`${batches.length} batches of ${rows}`);
    return {};
  }
  await tryTarget(context.out);
  const gpu = await openGpu({ device: context.device });
  const model = await begun.load(gpu);
  context.progress.start({ total: batches.length, unit: "batches" });
  const found = await measureImportance(model, batches, { labelFree, signal, done: () => context.progress.advance(1) });
  context.progress.done();
  const bytes = await saveImportance(model, found, context.out);
  context.json({ rows: found.rows, fisher, out: context.out, bytes });
  return { output: `${context.out === "-" ? "stdout" : context.out} (${humanBytes(bytes)})` };
}
