/** `data decontaminate`: training rows without those that hold rows of a test set. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Context, Outcome } from "../../cli/context.ts";
import { textOutput } from "../../cli/output.ts";
import { refuseInputs } from "../../cli/target.ts";
import { UserError } from "../../errors.ts";
import type { DECONTAMINATE } from "../decontamination/options.ts";
import { Overlap } from "../decontamination/overlap.ts";
import { textOfRow } from "../decontamination/row-text.ts";
import { groupsOf } from "../groups.ts";
import { namedValues } from "../named-values.ts";
import { readRows } from "../read-rows.ts";

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

const shareOf = ({ matched, places }: TestSet): number => matched.size / places.length;

/** Whether so much of one of the test sets that a row matches is matched that the row is dropped. */
const isDropped = ({ sets }: Offender, tests: readonly TestSet[], allowed: number): boolean =>
  sets.some((set) => shareOf(tests[set]!) > allowed);

/**
 * Reads the training rows once. `write` gets those that match nothing as they come, and with `allowed` 0 that is all;
 * else rows that match may be kept in the end, and the rows wait in a file until it is known.
 */
async function readTraining(context: DecontaminateContext, file: string, tests: readonly TestSet[], write?: Write) {
  const { options, signal, progress } = context;
  const waiting = write && options.allowed > 0 ? waitingFile(context) : undefined;
  const offenders = new Map<number, Offender>();
  let rows = 0;
  for await (const { row, place, line } of namedValues(file, options.columns)) {
    signal.throwIfAborted();
    const offender = offenderOf(textOfRow({ row, place }, options.part), place, tests);
    if (offender) offenders.set(rows, offender);
    if (waiting) waiting.target.write(line);
    else if (!offender) write?.(line);
    rows++;
    progress.advance(1);
  }
  const dropped = new Map([...offenders].filter(([, offender]) => isDropped(offender, tests, options.allowed)));
  if (waiting && write) {
    waiting.target.commit();
    let at = 0;
    for await (const { line } of namedValues(waiting.path, undefined)) if (!dropped.has(at++)) write(line);
  }
  return { rows, dropped: [...dropped.values()] };
}

type Write = (line: string) => void;

/** A file for rows whose fate is open; gone when the script ends. */
function waitingFile(context: DecontaminateContext) {
  const folder = mkdtempSync(join(tmpdir(), "ingot-rows-"));
  context.onExit(() => rmSync(folder, { recursive: true, force: true }));
  const path = join(folder, "rows.jsonl");
  return { path, target: textOutput(path) };
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
  const isWriting = !options.check && !context.dryRun && !(options.json && out === "-");
  const target = isWriting ? textOutput(out) : undefined;
  context.onExit((ok) => (ok ? target?.commit() : target?.discard()));
  target?.write("");
  context.progress.start({ unit: "rows" });
  const { rows, dropped } = await readTraining(context, file, tests, target && ((line) => target.write(line)));
  context.progress.done();
  tell(context, tests, rows, dropped);
  const exitCode = options.check && dropped.length > 0 ? 1 : 0;
  return isWriting && out !== "-" ? { output: `${out} (${rows - dropped.length} rows)`, exitCode } : { exitCode };
}

/** Rows that are named one by one on stderr. */
const NAMED = 5;

function tell(
  context: DecontaminateContext,
  tests: readonly TestSet[],
  rows: number,
  dropped: readonly Offender[],
): void {
  const found = tests.map(({ name, places, matched }) => ({
    ...{ name, rows: places.length, matched: matched.size, share: matched.size / places.length },
  }));
  context.json({
    ...{ rows, dropped: dropped.length, tests: found },
    matches: dropped.map(({ place, of, covered }) => ({ place, of, covered })),
  });
  if (context.options.json) return;
  const shares = found.map(({ name, rows: all, matched }) => `${matched} of ${all} rows of ${name}`);
  context.info(`${shares.join(", ")} matched; ${dropped.length} of ${rows} rows dropped`);
  for (const { place, of, covered } of dropped.slice(0, NAMED))
    context.info(`  ${place} holds ${Math.round(100 * covered)} % of ${of}`);
  if (dropped.length > NAMED) context.info(`  and ${dropped.length - NAMED} more; --json names them all`);
}
