/** The lines of a log as they are read or written: runs, and lines that are none of theirs. */
import { isObject, RunBuilder } from "./run-builder.ts";

export class LogLines {
  readonly runs: RunBuilder[] = [];
  /** Lines that are not JSON, counted from 1. */
  readonly bad: number[] = [];
  #count = 0;

  /** Takes the next line; the last one of an unfinished run may be cut. Gives its event, if it has one. */
  take(line: string, isLast = false): Readonly<Record<string, unknown>> | undefined {
    const at = ++this.#count;
    if (line.trim() === "") return undefined;
    const { event, whole } = eventOf(line);
    if (!whole && (event !== undefined || !isLast)) this.bad.push(at);
    if (event === undefined) return undefined;
    const run = this.runs.at(-1);
    if (event.event !== "start") run?.take(event);
    else if (run?.isResumedBy(event)) run.resume();
    else this.runs.push(new RunBuilder(event));
    return event;
  }
}

/** The event of a line. Where the power failed, the next run's start stands behind a piece of a line. */
function eventOf(line: string): { event: Record<string, unknown> | undefined; whole: boolean } {
  const begin = line.lastIndexOf('{"event":"start"');
  for (const text of begin > 0 ? [line, line.slice(begin)] : [line]) {
    try {
      const event: unknown = JSON.parse(text);
      if (!isObject(event)) return { event: undefined, whole: false };
      return { event: inertFields(event), whole: text === line };
    } catch {
      // try the next piece
    }
  }
  return { event: undefined, whole: false };
}

/** The object, whose fields can be written as texts: JSON may hold a `toString` of its own, which is no function. */
export const inertFields = (object: Record<string, unknown>): Record<string, unknown> =>
  Object.fromEntries(Object.entries(object).map(([key, value]) => [key, inert(value)]));

function inert(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(inert);
  if (!isObject(value)) return value;
  const isOdd = ["toString", "valueOf"].some((key) => Object.hasOwn(value, key));
  return isOdd ? JSON.stringify(value) : inertFields(value);
}
