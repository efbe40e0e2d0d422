/** The `data` script: opens the task, writes its rows, and reports what is known about them. */
import type { Context, Outcome } from "../cli/context.ts";
import { textOutput } from "../cli/output.ts";
import { UserError } from "../errors.ts";
import { bind } from "../method/bind.ts";
import type { OptionSpec } from "../method/options.ts";
import { methodNames } from "../method/registry.ts";
import { humanBytes } from "../text/format.ts";
import type { Row, Split } from "./task.ts";

/** Rows when --size is left out and the task has no end. */
const USUAL = 1000;

export const DATA_OPTIONS = {
  split: { type: "'train' | 'validation' | 'test'", default: "train", help: "which part of the data" },
  size: {
    type: "0 <= number.integer <= 1000000000",
    help: `rows; all where their number is fixed, else ${USUAL}, if left out`,
  },
} as const satisfies Record<string, OptionSpec>;

/** The ground truth of a row, if it has one. */
const answerOf = (row: Row): unknown => row.answer ?? row.completion ?? row.label;

/** Runs the script; rows go to `--out`. With `--json` stdout is for the facts, and rows are written only to a file. */
export async function runData(context: Context<typeof DATA_OPTIONS, "task">): Promise<Outcome | undefined> {
  const { options, settings, seed, out, dryRun, signal, progress, method: task } = context;
  if (context.args.length > 0)
    throw new UserError(
      `unexpected argument ${context.args[0]}`,
      task ? "one task at a time" : `the task comes first: bun run data ${context.args[0]} ...`,
    );
  if (task === undefined) throw new UserError("no task was named", `the tasks are ${methodNames("task").join(", ")}`);
  const split: Split = options.split;
  const source = task.open({ seed, split }, bind(task, settings).values);
  const size = options.size ?? (source.rows === Number.POSITIVE_INFINITY ? USUAL : source.rows);
  if (size > source.rows)
    throw new UserError(
      `--size: ${size} rows were asked for, but this ${split} split has ${source.rows}`,
      "leave --size out to have them all",
    );
  const about = { task: task.name, split, seed, options: settings, rows: size, splits: task.splits, ...source.facts };
  if (dryRun) {
    context.json(about);
    context.print(`${task.name}: ${size} rows of the ${split} split, seed ${seed}\n${JSON.stringify(source.facts)}`);
    return;
  }

  const target = options.json && out === "-" ? undefined : textOutput(out);
  context.onExit((ok) => (ok ? target?.commit() : target?.discard()));
  target?.write(""); // a file of no rows is a file, too
  const bytes = new Bun.CryptoHasher("sha256");
  const answers = new Bun.CryptoHasher("sha256");
  const counts: Record<string, number> = {};
  let length = 0;
  let answered = size > 0;
  let chunk = "";
  const flush = () => {
    bytes.update(chunk);
    length += Buffer.byteLength(chunk);
    target?.write(chunk);
    chunk = "";
  };
  progress.start({ total: size, unit: "rows" });
  for (let index = 0; index < size; index++) {
    const row = source.row(index);
    const answer = answerOf(row);
    if (answer === undefined) answered = false;
    else answers.update(`${JSON.stringify(answer)}\n`);
    const group = row.group ?? row.label;
    if (group !== undefined) counts[String(group)] = (counts[String(group)] ?? 0) + 1;
    chunk += `${JSON.stringify(row)}\n`;
    if (chunk.length >= 2 ** 16) {
      flush();
      progress.advance(0);
      await Bun.sleep(0); // lets Ctrl-C through
      signal.throwIfAborted();
    }
    progress.advance(1);
  }
  flush();
  progress.done();

  const sorted = Object.fromEntries(Object.entries(counts).sort(([a], [b]) => (a < b ? -1 : 1)));
  const found = {
    ...about,
    bytes: length,
    ...(Object.keys(sorted).length > 0 ? { counts: sorted } : {}),
    rows_sha256: bytes.digest("hex"),
    ...(answered ? { answers_sha256: answers.digest("hex") } : {}),
  };
  context.json(found);
  if (!options.json) context.info(`${task.name}, ${split}: ${summary(size, source.facts)}`);
  return out === "-" ? undefined : { output: `${out} (${size} rows, ${humanBytes(length)})` };
}

/** The plain facts in one line: numbers with five digits, no lists. */
function summary(size: number, facts: Readonly<Record<string, unknown>>): string {
  const plain = Object.entries(facts)
    .filter(([, value]) => typeof value === "number" || typeof value === "string")
    .map(([name, value]) => {
      const shown = typeof value === "number" && !Number.isInteger(value) ? value.toPrecision(5) : value;
      return `${name.replaceAll("_", " ")} ${shown}`;
    });
  return [`${size} ${size === 1 ? "row" : "rows"}`, ...plain].join(", ");
}
