/**
 * A run as the lines of its log are read. A run that was killed and resumed does some steps twice: what it says of them
 * later replaces what it said before, so that every step stands once, in order.
 */

import { type Front, frontOf, frontRows } from "./front.ts";

/** A metric along a run. Values that are not numbers are NaN: gaps. */
export interface Series {
  readonly step: number[];
  readonly seconds: number[];
  readonly tokens: number[];
  readonly value: number[];
}

export const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

type Event = Readonly<Record<string, unknown>>;

const NOT_METRICS = new Set(["event", "step", "seconds", "epoch", "tokens", "counted", "run"]);

const numberOf = (value: unknown): number => (typeof value === "number" && Number.isFinite(value) ? value : Number.NaN);

/** To milliseconds, as logs have it: sums would show more digits than there are. */
const rounded = (seconds: number): number => Math.round(seconds * 1000) / 1000;

/**
 * Takes the events of one run.
 *
 *   const run = new RunBuilder(start);
 *   for (const event of events) run.take(event);
 *   run.series.get("loss")!.value;
 */
export class RunBuilder {
  end: Event | undefined;
  readonly series = new Map<string, Series>();
  readonly tables: Event[][] = [];
  readonly fronts: Front[] = [];
  readonly warnings = new Set<string>();
  /** Tokens up to each `step` line that counts. */
  #steps: { step: number; tokens: number }[] = [];
  #latest = Number.NEGATIVE_INFINITY; // step of any line that counts
  /** Each process counts its seconds from 0: these are of the processes before, lost work included. */
  #before = 0;
  #clock = 0;

  constructor(readonly start: Event) {}

  get step(): number | undefined {
    return Number.isFinite(this.#latest) ? this.#latest : undefined;
  }

  /** Seconds at work, undefined where no line has a time. */
  get seconds(): number | undefined {
    return rounded(this.#before + this.#clock) || undefined;
  }

  /**
   * Whether a start line is of a process that resumes this run: the run is not done, and the process writes to the same
   * place.
   */
  isResumedBy(start: Event): boolean {
    const options = isObject(start.options) ? start.options : {};
    if (this.end?.ok === true || options.resume !== true) return false;
    const own = isObject(this.start.options) ? this.start.options : {};
    const place = (given: Event) => given.state ?? given.out;
    return this.start.script === start.script && this.start.method === start.method && place(own) === place(options);
  }

  /** The events that follow are of another process. */
  resume(): void {
    this.end = undefined;
    this.#before += this.#clock;
    this.#clock = 0;
  }

  take(event: Event): void {
    switch (event.event) {
      case "step":
        this.#takeStep(event);
        break;
      case "probe":
        this.#takeProbe(event);
        break;
      case "eval":
        this.#takeEval(event);
        break;
      case "result": {
        const rows = isObject(event.value) ? event.value.rows : undefined;
        if (Array.isArray(rows)) this.tables.push(rows.filter(isObject));
        break;
      }
      case "front": {
        const front = frontOf(event);
        if (front) {
          this.fronts.push(front);
          this.tables.push(frontRows(front));
        }
        break;
      }
      case "warning":
        this.warnings.add(String(event.text)); // a resumed run says it again
        break;
      case "end":
        this.#secondsOf(event);
        this.end = event;
    }
  }

  #takeStep(event: Event): void {
    const step = numberOf(event.step);
    // Not after the last step line: done a second time. What was measured at this step came after its line.
    if (step <= (this.#steps.at(-1)?.step ?? Number.NEGATIVE_INFINITY) || step < this.#latest)
      this.#forget((other) => other >= step);
    const seconds = this.#secondsOf(event);
    const tokens = (this.#steps.at(-1)?.tokens ?? 0) + (numberOf(event.tokens) || 0);
    this.#steps.push({ step, tokens });
    for (const [key, value] of Object.entries(event)) {
      if (!NOT_METRICS.has(key) && (typeof value === "number" || value === null))
        this.#add(key, { step, seconds, tokens, value: numberOf(value) });
    }
    if (!Number.isNaN(step)) this.#latest = step;
  }

  #takeEval(event: Event): void {
    const step = numberOf(event.step);
    if (Number.isNaN(step)) return; // of `evaluate`, whose table has it
    const name = `eval ${event.name}${event.group === undefined ? "" : ` (${event.group})`}`;
    this.#measured(event, step, { [name]: event.value });
  }

  /** Numbers that a probe saw; what it says in more detail stays in the log. */
  #takeProbe(event: Event): void {
    const step = numberOf(event.step);
    if (Number.isNaN(step)) return;
    const seen = Object.entries(event).filter(
      ([key, value]) => !NOT_METRICS.has(key) && (typeof value === "number" || value === null),
    );
    this.#measured(event, step, Object.fromEntries(seen.map(([key, value]) => [`${event.probe} ${key}`, value])));
  }

  /** Adds what was measured of the model after a step. */
  #measured(event: Event, step: number, values: Readonly<Record<string, unknown>>): void {
    if (step < this.#latest) this.#forget((other) => other > step);
    const [seconds, tokens] = [this.#secondsOf(event), this.#steps.at(-1)?.tokens ?? 0];
    for (const [name, value] of Object.entries(values)) {
      const before = this.series.get(name);
      if (before) cut(before, (other) => other >= step);
      this.#add(name, { step, seconds, tokens, value: numberOf(value) });
    }
    this.#latest = step;
  }

  /** Removes what was said of some of the last steps. */
  #forget(superseded: (step: number) => boolean): void {
    for (const [name, series] of this.series) {
      cut(series, superseded);
      if (series.step.length === 0) this.series.delete(name);
    }
    while (this.#steps.length > 0 && superseded(this.#steps.at(-1)!.step)) this.#steps.pop();
  }

  /** Seconds of the run. A clock that runs backwards is another process's, whose start line was lost. */
  #secondsOf(event: Event): number {
    const seconds = numberOf(event.seconds);
    if (Number.isNaN(seconds)) return seconds;
    if (seconds < this.#clock) this.#before += this.#clock;
    this.#clock = seconds;
    return rounded(this.#before + seconds);
  }

  #add(name: string, point: { step: number; seconds: number; tokens: number; value: number }): void {
    let series = this.series.get(name);
    if (!series) {
      series = { step: [], seconds: [], tokens: [], value: [] };
      this.series.set(name, series);
    }
    for (const axis of ["step", "seconds", "tokens", "value"] as const) series[axis].push(point[axis]);
  }
}

/** Removes points from the end; those without a step go with their neighbours. */
function cut(series: Series, superseded: (step: number) => boolean): void {
  const { step } = series;
  let length = step.length;
  for (let i = step.length - 1; i >= 0; i--) {
    if (superseded(step[i]!)) length = i;
    else if (!Number.isNaN(step[i]!)) break;
  }
  for (const axis of ["step", "seconds", "tokens", "value"] as const) series[axis].length = length;
}
