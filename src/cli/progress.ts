/**
 * Progress of the work: one line on stderr, redrawn at most ten times a second, only on a terminal; elsewhere a plain
 * line every 30 seconds, so that logs stay short. Nothing is printed before the work has taken a moment.
 */

import { fitLine } from "../text/fit-line.ts";
import { humanBytes, humanTime } from "../text/format.ts";
import { clearStatus, drawStatus, say, statusWidth, stderrIsTerminal } from "./stderr.ts";

export interface ProgressPlan {
  /** Left out when unknown: then only the count is shown. */
  readonly total?: number;
  /** "bytes" are shown as sizes and as a rate; other units as counts: "tensors", "steps", "rows". */
  readonly unit?: string;
}

export interface Progress {
  /** Begins a stretch of work; ends the one before. */
  start(plan: ProgressPlan): void;
  /**
   * So much more is done; `text` says what is being worked on. `figure` is the number that matters: a narrow terminal
   * shows less of all else.
   */
  advance(by?: number, text?: string, figure?: string): void;
  /** The line is taken away. Called for you when the script ends. */
  done(): void;
  /** The items of a list, counted as each is finished. */
  over<T>(items: Iterable<T>, plan: { readonly unit?: string; readonly text?: (item: T) => string }): Generator<T>;
}

const QUIET: Progress = {
  start() {},
  advance() {},
  done() {},
  *over(items) {
    yield* items;
  },
};

/** Progress for a script of this name; `quiet` prints nothing. */
export function makeProgress(name: string, quiet: boolean): Progress {
  if (quiet) return QUIET;
  const terminal = stderrIsTerminal();
  const pause = terminal ? 100 : 30_000; // ms
  let plan: ProgressPlan = {};
  let count = 0;
  let began = 0;
  let drawn = 0;

  const show = (text: string | undefined, figure: string | undefined) => {
    const now = performance.now();
    if (now - drawn < pause) return;
    drawn = now;
    const parts = describeParts(plan, count, (now - began) / 1000);
    const heads = [`${name}: ${parts.join("  ")}`, parts.join("  "), parts[0]!];
    const width = terminal ? statusWidth() : Number.POSITIVE_INFINITY;
    const line = fitLine(heads, { figure, text, width });
    if (terminal) drawStatus(line);
    else say(line);
  };
  const progress: Progress = {
    start(next) {
      clearStatus();
      plan = next;
      count = 0;
      began = performance.now();
      drawn = began;
    },
    advance(by = 1, text, figure) {
      count += by;
      show(text, figure);
    },
    done: clearStatus,
    *over(items, { unit, text }) {
      const total = Array.isArray(items)
        ? items.length
        : items instanceof Map || items instanceof Set
          ? items.size
          : undefined;
      progress.start({ total, unit });
      for (const item of items) {
        progress.advance(0, text?.(item));
        yield item;
        progress.advance(1, text?.(item));
      }
      progress.done();
    },
  };
  return progress;
}

/** `45%  131/291 tensors  0:12 left`; for bytes also the rate. */
export const describe = (plan: ProgressPlan, count: number, seconds: number): string =>
  describeParts(plan, count, seconds).join("  ");

/** The parts of it, the most important first. */
function describeParts({ total, unit = "" }: ProgressPlan, count: number, seconds: number): string[] {
  const bytes = unit === "bytes";
  const amount = (n: number) => (bytes ? humanBytes(n) : String(n));
  const parts: string[] = [];
  if (total) parts.push(`${Math.floor((100 * count) / total)}%`);
  parts.push(
    `${amount(count)}${total ? (bytes ? ` of ${amount(total)}` : `/${total}`) : ""}${bytes || !unit ? "" : ` ${unit}`}`,
  );
  if (bytes && seconds > 0) parts.push(`${humanBytes(count / seconds)}/s`);
  if (total && count > 0 && seconds > 2) parts.push(`${humanTime((seconds * (total - count)) / count)} left`);
  return parts;
}
