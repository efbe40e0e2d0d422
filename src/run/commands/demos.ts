/** `data demos`: prompts behind demonstrations of how others are answered. */
import type { Context, Outcome } from "../../cli/context.ts";
import { textResult } from "../../cli/text-result.ts";
import type { DEMOS } from "../../data/demonstrations/options.ts";
import { demonstrationsFor, readShown } from "../../data/demonstrations/shown.ts";
import { openRetriever } from "../demonstrations/dense.ts";

export async function demos(context: Context<typeof DEMOS>): Promise<Outcome> {
  const { options, args, signal, seed } = context;
  const { bank: bankFile, demo_count: count, separator } = options;
  const file = args[0] ?? "-";
  const result = textResult(context, [file, ...(bankFile === undefined ? [] : [bankFile])]);
  const rows = await readShown(file);
  const bank = bankFile === undefined ? rows : await readShown(bankFile, "--bank");
  const { retrieve, free } = await openRetriever(context, options.retriever, { flag: "--retriever", bank, seed });
  let [shown, short] = [0, 0];
  const lines: string[] = [];
  for (const [place, { row, prompt }] of rows.entries()) {
    signal.throwIfAborted();
    const before = await demonstrationsFor(prompt, place, { bank, retrieve, count, separator });
    shown += before.length;
    if (before.length < count) short++;
    lines.push(JSON.stringify({ ...row, prompt: before.join("") + prompt }));
  }
  free();
  const about = { rows: rows.length, demonstrations: shown, short };
  if (short > 0) context.info(`${short} of ${rows.length} prompts have fewer than ${count} demonstrations`);
  if (context.dryRun) {
    context.json(about);
    context.print(`${rows.length} rows, ${shown} demonstrations`);
    return {};
  }
  return result(lines.join("\n"), about);
}
