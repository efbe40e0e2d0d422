/** `data decontaminate`: training rows without those that hold rows of a test set. */
import type { Context, Outcome } from "../../cli/context.ts";
import { textOutput } from "../../cli/output.ts";
import { refuseInputs } from "../../cli/target.ts";
import { UserError } from "../../errors.ts";
import { isObject, type Json } from "../../json.ts";
import { parseColumns, Renaming } from "../columns.ts";
import type { DECONTAMINATE } from "../decontamination/options.ts";
import { Overlap } from "../decontamination/overlap.ts";
import { textOfRow } from "../decontamination/row-text.ts";
import { groupsOf } from "../groups.ts";
import { parseRow } from "../parse-row.ts";
import { readRows, readValues } from "../read-rows.ts";

type DecontaminateContext = Context<typeof DECONTAMINATE>;

/** A set of test rows. */
interface TestSet {
  readonly name: string;
  readonly places: readonly string[];
  readonly overlap: Overlap;
  /** Its rows that some training row matches. */
  readonly matched: Set<number>;
}

/** A training row that matches rows of test sets. */
interface Offender {
  readonly place: string;
  readonly sets: readonly number[];
  /** The match that covers most. */
  readonly of: string;
  readonly covered: number;
}

async function readTests({ options }: DecontaminateContext): Promise<TestSet[]> {
  const { ngram: n, covered, part } = options;
  const sets: TestSet[] = [];
  for (const source of groupsOf(options.against, "--against", options.columns)) {
    const rows = await Array.fromAsync(readRows(source));
    const texts = rows.map((row) => textOfRow(row, part));
    const overlap = new Overlap(texts, { n, share: covered });
    sets.push({ name: source.name, places: rows.map(({ place }) => place), overlap, matched: new Set() });
  }
  return sets;
}

/** What a training row matches; undefined of a row that matches nothing. Notes the test rows. */
function offenderOf(text: string, place: string, tests: readonly TestSet[]): Offender | undefined {
  const sets: number[] = [];
  let best = { of: "", covered: 0 };
  for (const [set, { overlap, matched, places }] of tests.entries()) {
    const found = overlap.matches(text);
    if (found.length > 0) sets.push(set);
    for (const { text: row, covered } of found) {
      matched.add(row);
      if (covered > best.covered) best = { of: places[row]!, covered };
    }
  }
  return sets.length === 0 ? undefined : { place, sets, ...best };
}

interface Kept {
  readonly line: string;
  readonly offender: Offender | undefined;
}

/** Reads the training rows. A line is the row as it was written, whatever its columns are called. */
async function readTraining(context: DecontaminateContext, file: string, tests: readonly TestSet[]): Promise<Kept[]> {
  const { options, signal, progress } = context;
  const columns = options.columns === undefined ? undefined : parseColumns(options.columns);
  const renaming = columns && new Renaming(columns);
  const kept: Kept[] = [];
  for await (const { value, place } of readValues(file)) {
    signal.throwIfAborted();
    const named: Json = renaming && isObject(value) ? renaming.row(value) : value;
    const text = textOfRow({ row: parseRow(named, place, columns), place }, options.part);
    kept.push({ line: `${JSON.stringify(value)}\n`, offender: offenderOf(text, place, tests) });
    progress.advance(1);
  }
  renaming?.check(file);
  return kept;
}

export async function decontaminate(context: DecontaminateContext): Promise<Outcome | undefined> {
  const { options, out, args } = context;
  if (args.length > 1) throw new UserError(`unexpected argument ${args[1]}`, "one file of rows at a time");
  const file = args[0] ?? "-";
  const against = groupsOf(options.against, "--against", options.columns);
  if (file === "-" && against.some(({ path }) => path === "-"))
    throw new UserError("the rows and --against both read stdin", "write one of them to a file first");
  refuseInputs(out, [file, ...against.map(({ path }) => path)]);
  const tests = await readTests(context);
  context.progress.start({ unit: "rows" });
  const rows = await readTraining(context, file, tests);
  context.progress.done();
  const isLeaking = tests.map(({ matched, places }) => matched.size / places.length > options.allowed);
  const isDropped = ({ offender }: Kept) => offender?.sets.some((set) => isLeaking[set]) ?? false;
  const dropped = rows.filter(isDropped);
  const isWriting = !options.check && !context.dryRun && !(options.json && out === "-");
  if (isWriting) {
    const target = textOutput(out);
    context.onExit((ok) => (ok ? target.commit() : target.discard()));
    target.write("");
    for (const row of rows) if (!isDropped(row)) target.write(row.line);
  }
  tell(context, tests, rows.length, dropped);
  const exitCode = options.check && dropped.length > 0 ? 1 : 0;
  return isWriting && out !== "-"
    ? { output: `${out} (${rows.length - dropped.length} rows)`, exitCode }
    : { exitCode };
}

/** Rows that are named one by one on stderr. */
const NAMED = 5;

function tell(context: DecontaminateContext, tests: readonly TestSet[], rows: number, dropped: readonly Kept[]): void {
  const found = tests.map(({ name, places, matched }) => ({
    ...{ name, rows: places.length, matched: matched.size, share: matched.size / places.length },
  }));
  context.json({
    ...{ rows, dropped: dropped.length, tests: found },
    matches: dropped.map(({ offender }) => ({ place: offender!.place, of: offender!.of, covered: offender!.covered })),
  });
  if (context.options.json) return;
  const shares = found.map(({ name, rows: all, matched }) => `${matched} of ${all} rows of ${name}`);
  context.info(`${shares.join(", ")} matched; ${dropped.length} of ${rows} rows dropped`);
  for (const { offender } of dropped.slice(0, NAMED))
    context.info(`  ${offender!.place} holds ${Math.round(100 * offender!.covered)} % of ${offender!.of}`);
  if (dropped.length > NAMED) context.info(`  and ${dropped.length - NAMED} more; --json names them all`);
}
