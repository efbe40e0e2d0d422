/** A run, as all views of it see it. */
import type { Front } from "./front.ts";
import type { Series } from "./run-builder.ts";
import type { Sample } from "./sources/samples.ts";

export interface Run {
  /** Name for legends: the file's, numbered where the file holds several runs. */
  readonly name: string;
  readonly file: string;
  readonly start: Readonly<Record<string, unknown>>;
  readonly end: Readonly<Record<string, unknown>> | undefined;
  /** The last step of the log, and the seconds at work, lost work included. */
  readonly step: number | undefined;
  readonly seconds: number | undefined;
  /** By metric: loss, lr, eval loss (group). */
  readonly series: ReadonlyMap<string, Series>;
  /** Tables that evaluations left. */
  readonly tables: readonly (readonly Readonly<Record<string, unknown>>[])[];
  /** What searches over several objectives found. */
  readonly fronts: readonly Front[];
  /** Numbers that it came to, beside curves and tables, by name. */
  readonly numbers: Readonly<Record<string, number>>;
  /** What a model wrote. */
  readonly samples: readonly Sample[];
  readonly warnings: readonly string[];
  /** Lines of the file that are not JSON, counted from 1. */
  readonly bad: readonly number[];
}
