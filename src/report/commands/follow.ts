/** `report --follow`: logs of runs that are at work, until all of them end. */
import { isatty } from "node:tty";
import type { Outcome } from "../../cli/context.ts";
import { screenWidth } from "../../cli/screen.ts";
import { writeAll } from "../../cli/stderr.ts";
import { UserError } from "../../errors.ts";
import { blockOf, stateOf, stateText } from "../follow/state.ts";
import { Tail } from "../follow/tail.ts";
import { LogLines } from "../log-lines.ts";
import type { RunBuilder } from "../run-builder.ts";
import type { ReportContext } from "./context.ts";

/** A log that is followed. */
interface Followed {
  readonly name: string;
  readonly tail: Tail;
  read: LogLines;
  /** Whether it was told that the file is waited for. */
  isTold: boolean;
}

const isNews = (event: unknown): boolean => ["step", "eval", "probe", "end"].includes(String(event));

/**
 * Reads what is appended to the logs until the last run of each has ended. On a terminal there is a block for each log,
 * drawn anew; elsewhere a line for each record, an object with `--json`. Exit code 1 where a run failed.
 */
export async function follow(context: ReportContext, files: readonly string[]): Promise<Outcome> {
  const { options, signal } = context;
  if (files.includes("-"))
    throw new UserError("--follow reads files, and - is a pipe", "name logs, as --log wrote them");
  const logs: Followed[] = files.map((file) => ({
    name: file
      .split("/")
      .at(-1)!
      .replace(/\.(jsonl?|log)$/, ""),
    tail: new Tail(file),
    read: new LogLines(),
    isTold: false,
  }));
  const draws = isatty(1) && !options.json;
  let drawn = 0;
  for (;;) {
    let isNew = false;
    for (const log of logs) isNew = take(context, log, !draws) || isNew;
    if (draws && isNew) drawn = draw(logs, options.curve, options.ascii, drawn);
    if (logs.every(({ read }) => read.runs.at(-1)?.end !== undefined)) break;
    await pause(1000 * options.every, signal);
  }
  const failed = logs.some(({ read }) => read.runs.at(-1)?.end?.ok !== true);
  return failed ? { exitCode: 1 } : {};
}

/** Reads what came; gives whether anything did. Throws UserError for a file that is no log. */
function take(context: ReportContext, log: Followed, tells: boolean): boolean {
  const { tail, name } = log;
  const found = tail.poll();
  if (!found) {
    if (!log.isTold) context.info(`${tail.file} is not there yet: waiting for it`);
    log.isTold = true;
    return false;
  }
  if (found.again) {
    context.info(`${tail.file} is another file, or became shorter: reading it from its start`);
    log.read = new LogLines();
  }
  for (const line of found.lines) {
    const event = log.read.take(line);
    const run = log.read.runs.at(-1);
    if (!run && line.trim() !== "")
      throw new UserError(`${tail.file} is not a log: it has no start event`, "name a log, as --log wrote it");
    if (tells && run && event && isNews(event.event)) tell(context, name, run);
  }
  return found.lines.length > 0 || found.again;
}

function tell(context: ReportContext, name: string, run: RunBuilder): void {
  const { curve: metric, json } = context.options;
  if (json) context.line({ name, ...stateOf(run, metric) });
  else context.print(stateText(name, run, metric));
}

/** Draws all blocks over those that were drawn; gives how many lines they have. */
function draw(logs: readonly Followed[], metric: string | undefined, ascii: boolean, before: number): number {
  const width = screenWidth() ?? 80;
  const isPlain = ascii || !/utf-?8/i.test(process.env.LC_ALL || process.env.LC_CTYPE || process.env.LANG || "utf-8");
  const lines = logs.flatMap(({ name, read }) => {
    const run = read.runs.at(-1);
    return run ? blockOf(name, run, { metric, width, ascii: isPlain }) : [];
  });
  const up = before > 0 ? `\x1b[${before}F\x1b[J` : "";
  writeAll(1, Buffer.from(up + lines.map((line) => `${line}\n`).join("")));
  return lines.length;
}

/** Waits; throws what the signal says where that aborts. */
async function pause(milliseconds: number, signal: AbortSignal): Promise<void> {
  signal.throwIfAborted();
  const { promise, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, milliseconds);
  signal.addEventListener("abort", () => resolve(), { once: true });
  await promise;
  clearTimeout(timer);
  signal.throwIfAborted();
}
