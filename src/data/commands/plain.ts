/** `data plain`: rows of any texts as plain documents, `{"text": ..}`, file after file, for training on all tokens. */
import type { Context, Outcome } from "../../cli/context.ts";
import { textOutput } from "../../cli/output.ts";
import { refuseInputs } from "../../cli/target.ts";
import { namedValues } from "../named-values.ts";
import type { PLAIN } from "../plain/options.ts";
import { plainText } from "../plain/plain-text.ts";

export async function plain(context: Context<typeof PLAIN>): Promise<Outcome | undefined> {
  const { options, args, out, signal } = context;
  const files = args.length > 0 ? args : ["-"];
  refuseInputs(out, files);
  const target = context.dryRun || (options.json && out === "-") ? undefined : textOutput(out);
  context.onExit((ok) => (ok ? target?.commit() : target?.discard()));
  target?.write("");
  const counts: { file: string; rows: number; characters: number }[] = [];
  for (const file of files) {
    const own = { file, rows: 0, characters: 0 };
    for await (const located of namedValues(file, options.columns)) {
      signal.throwIfAborted();
      const text = plainText(located, options);
      own.rows++;
      own.characters += text.length;
      target?.write(`${JSON.stringify({ text })}\n`);
    }
    counts.push(own);
  }
  const rows = counts.reduce((sum, own) => sum + own.rows, 0);
  if (options.json) context.json({ rows, files: counts });
  else if (context.dryRun) context.print(`${rows} rows`);
  return out === "-" ? undefined : { output: `${out} (${rows} rows)` };
}
