/** The `data` script: opens the task, writes its rows, and reports what is known about them. */
import { mkdirSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import type { Context, Outcome } from "../cli/context.ts";
import { textOutput } from "../cli/output.ts";
import { UserError } from "../errors.ts";
import { bind } from "../method/bind.ts";
import type { OptionSpec } from "../method/options.ts";
import { methodNames } from "../method/registry.ts";
import { humanBytes } from "../text/format.ts";
import { makeRows, type Sink, sizeOf, summaryOf, USUAL_ROWS } from "./made-rows.ts";
import { type Variant, variants } from "./streams.ts";
import type { Split, Task, TaskSource } from "./task.ts";

/** Held-out rows of a task of a stream when --test-size is left out and the task has no end. */
const USUAL_TEST = 200;

export const DATA_OPTIONS = {
  split: { type: "'train' | 'validation' | 'test'", default: "train", help: "which part of the data" },
  size: {
    type: "0 <= number.integer <= 1000000000",
    help: `rows; all where their number is fixed, else ${USUAL_ROWS}, if left out`,
  },
  stream: {
    type: "string[]",
    value: "OPTION=V1,V2,...",
    help: "a stream of tasks in the folder -o, one for each value of an option or of seed; several go in step",
  },
  test_size: {
    type: "0 <= number.integer <= 1000000000",
    needs: "stream",
    value: "N",
    help: `held-out rows of each task, test/task-0.jsonl and so on; all, else ${USUAL_TEST}, if left out`,
  },
} as const satisfies Record<string, OptionSpec>;

type DataContext = Context<typeof DATA_OPTIONS, "task">;

/** Runs the script; rows go to `--out`. With `--json` stdout is for the facts, and rows are written only to a file. */
export async function runData(context: DataContext): Promise<Outcome | undefined> {
  const { options, settings, seed, out, dryRun, method: task } = context;
  if (context.args.length > 0)
    throw new UserError(
      `unexpected argument ${context.args[0]}`,
      task ? "one task at a time" : `the task comes first: bun run data ${context.args[0]} ...`,
    );
  if (task === undefined) throw new UserError("no task was named", `the tasks are ${methodNames("task").join(", ")}`);
  if (options.stream !== undefined) return makeStream(context, task, options.stream);
  const { split } = options;
  const source = task.open({ seed, split }, bind(task, settings).values);
  const size = sizeOf(source, options.size, "--size", split);
  const about = { task: task.name, split, seed, options: settings, rows: size, splits: task.splits, ...source.facts };
  if (dryRun) {
    context.json(about);
    context.print(`${task.name}: ${size} rows of the ${split} split, seed ${seed}\n${JSON.stringify(source.facts)}`);
    return;
  }
  const target = options.json && out === "-" ? undefined : textOutput(out);
  context.onExit((ok) => (ok ? target?.commit() : target?.discard()));
  context.progress.start({ total: size, unit: "rows" });
  const made = await makeRows(source, size, sinkOf(context, target && ((text) => target.write(text))));
  context.progress.done();
  context.json({ ...about, ...made });
  if (!options.json) context.info(`${task.name}, ${split}: ${summaryOf(size, source.facts)}`);
  return out === "-" ? undefined : { output: `${out} (${size} rows, ${humanBytes(made.bytes)})` };
}

const sinkOf = ({ signal, progress }: DataContext, write: Sink["write"]): Sink => ({
  write,
  signal,
  advance: (rows) => progress.advance(rows),
});

/** One file of a stream. */
interface Part {
  readonly file: string;
  readonly split: Split;
  readonly variant: Variant;
  readonly source: TaskSource;
  readonly size: number;
}

/** Opens every task of the stream: what is wrong with one shows before the first row is written. */
async function partsOf(
  { options, settings, seed }: DataContext,
  task: Task,
  varied: readonly string[],
): Promise<Part[]> {
  if (options.split === "test")
    throw new UserError(
      "--split test with --stream: the test split is what test/task-0.jsonl and so on hold",
      "leave it out",
    );
  const all = await variants(varied, task.options, { seed, settings });
  return all.flatMap((variant, place) =>
    ([options.split, "test"] as const).map((split) => {
      const isTest = split === "test";
      const source = task.open({ seed: variant.seed, split }, bind(task, variant.settings).values);
      const size = isTest
        ? sizeOf(source, options.test_size, "--test-size", split, USUAL_TEST)
        : sizeOf(source, options.size, "--size", split);
      return { file: `${isTest ? "test/" : ""}task-${place}.jsonl`, split, variant, source, size };
    }),
  );
}

/** Throws UserError for what is no folder, and for one that has files of a stream: some could be left from another. */
function checkFolder(out: string): void {
  if (out === "-")
    throw new UserError("--stream writes two files for each task of the stream", "name a folder for them: -o stream/");
  const stat = statSync(out, { throwIfNoEntry: false });
  if (stat === undefined) return;
  if (!stat.isDirectory()) throw new UserError(`--out: ${out} is no folder, which --stream writes`, "name another");
  if (readdirSync(out).some((name) => /^(test|task-\d+\.jsonl)$/.test(name)))
    throw new UserError(`--out: ${out} has a stream already`, "name another folder, or remove it");
}

/** Writes task-0.jsonl, test/task-0.jsonl, task-1.jsonl, ... into the folder; all of them, or none when it fails. */
async function makeStream(context: DataContext, task: Task, varied: readonly string[]): Promise<Outcome | undefined> {
  const { options, out, progress } = context;
  checkFolder(out);
  const parts = await partsOf(context, task, varied);
  const told = ({ file, split, variant, source, size }: Part) => ({
    ...{ file, split, seed: variant.seed, options: variant.settings, rows: size },
    ...source.facts,
  });
  const about = { task: task.name, splits: task.splits, tasks: parts.length / 2 };
  const lines = parts.map((part) => {
    const which = Object.entries(part.variant.typed).map(([name, value]) => `${name} ${value}`);
    return `${part.file}: ${which.join(", ")}, ${part.split}: ${summaryOf(part.size, part.source.facts)}`;
  });
  if (context.dryRun) {
    context.json({ ...about, files: parts.map(told) });
    context.print(lines.join("\n"));
    return;
  }
  mkdirSync(join(out, "test"), { recursive: true });
  const targets = parts.map(({ file }) => textOutput(join(out, file)));
  context.onExit((ok) => {
    for (const target of targets) ok ? target.commit() : target.discard();
  });
  progress.start({ total: parts.reduce((sum, { size }) => sum + size, 0), unit: "rows" });
  const files: object[] = [];
  let bytes = 0;
  for (const [place, part] of parts.entries()) {
    const sink = sinkOf(context, (text) => targets[place]!.write(text));
    const made = await makeRows(part.source, part.size, sink);
    files.push({ ...told(part), ...made });
    bytes += made.bytes;
  }
  progress.done();
  context.json({ ...about, files });
  if (!options.json) for (const line of lines) context.info(line);
  return { output: `${out} (tasks: ${about.tasks}, files: ${parts.length}, ${humanBytes(bytes)})` };
}
