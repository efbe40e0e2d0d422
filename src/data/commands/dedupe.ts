/** `data dedupe`: rows without those that repeat an earlier one, in one pass over files larger than memory. */
import type { Context, Outcome } from "../../cli/context.ts";
import { textOutput } from "../../cli/output.ts";
import { refuseInputs } from "../../cli/target.ts";
import { UserError } from "../../errors.ts";
import { textOfRow } from "../decontamination/row-text.ts";
import type { DEDUPE } from "../deduplication/options.ts";
import { type Likeness, SeenRows } from "../deduplication/seen-rows.ts";
import { namedValues } from "../named-values.ts";

type DedupeContext = Context<typeof DEDUPE>;

/** A row that repeats another. */
interface Repeat extends Likeness {
  readonly place: string;
}

/** Rows that are named one by one on stderr. */
const NAMED = 5;

export async function dedupe(context: DedupeContext): Promise<Outcome | undefined> {
  const { options, out, args, seed, signal, progress } = context;
  if (args.length > 1) throw new UserError(`unexpected argument ${args[1]}`, "one file of rows at a time");
  const file = args[0] ?? "-";
  const against = options.against ?? [];
  if ([file, ...against].filter((path) => path === "-").length > 1)
    throw new UserError("the rows and --against both read stdin", "write one of them to a file first");
  refuseInputs(out, [file, ...against]);
  const seen = new SeenRows({ ...options, seed });
  progress.start({ unit: "rows" });
  for (const path of against) {
    for await (const { row, place } of namedValues(path, options.columns)) {
      signal.throwIfAborted();
      seen.meet(textOfRow({ row, place }, options.part), place);
    }
  }
  const isWriting = !options.check && !context.dryRun && !(options.json && out === "-");
  const target = isWriting ? textOutput(out) : undefined;
  context.onExit((ok) => (ok ? target?.commit() : target?.discard()));
  target?.write("");
  const repeats: Repeat[] = [];
  let rows = 0;
  let exact = 0;
  let dropped = 0;
  for await (const { row, place, line } of namedValues(file, options.columns)) {
    signal.throwIfAborted();
    const found = seen.meet(textOfRow({ row, place }, options.part), place);
    rows++;
    progress.advance(1);
    if (found === undefined) {
      target?.write(line);
      continue;
    }
    dropped++;
    if (found.by === "exact") exact++;
    if (options.json || repeats.length < NAMED) repeats.push({ place, ...found });
  }
  progress.done();
  context.json({ rows, dropped, exact, near: dropped - exact, repeats });
  if (!options.json) {
    context.info(`${dropped} of ${rows} rows repeat earlier ones: ${exact} word for word, ${dropped - exact} nearly`);
    for (const { place, of, by, index } of repeats)
      context.info(`  ${place} ${by === "exact" ? "repeats" : `is like (${index.toFixed(2)})`} ${of}`);
    if (dropped > repeats.length) context.info(`  and ${dropped - repeats.length} more; --json names them all`);
  }
  const exitCode = options.check && dropped > 0 ? 1 : 0;
  return isWriting && out !== "-" ? { output: `${out} (${rows - dropped} rows)`, exitCode } : { exitCode };
}
