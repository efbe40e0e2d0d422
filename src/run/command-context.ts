/**
 * What a run asks of the command line that started it. The context of src/cli has all of it; a test can make it by
 * hand.
 */

/** A log of events, one JSON object each. */
export interface Log {
  /** Identifies the run, in the log and in lineage. */
  readonly run: string;
  /** Writes the first line, with what is known by now. */
  start(fields?: Record<string, unknown>): void;
  event(name: string, fields?: Record<string, unknown>): void;
}

/** How far the work is. */
export interface Progress {
  /** Begins a stretch of work; ends the one before. */
  start(plan: { readonly total?: number; readonly unit?: string }): void;
  /** So much more is done; `text` says what is being worked on, and `figure` is the number that matters. */
  advance(by?: number, text?: string, figure?: string): void;
  done(): void;
}

/** What a command says at its end. */
export interface Outcome {
  /** What was written: "out/ (2.1 GB)". */
  readonly output?: string;
  /** The figures that count, for the end line: "loss 0.0012, best 0.0400 at step 200". */
  readonly told?: string;
  /** A command that makes sense next. */
  readonly next?: string;
  /** Further fields of the log's last line. */
  readonly log?: Record<string, unknown>;
}

export interface CommandContext {
  readonly seed: number;
  /** A path, or "-" for stdout. */
  readonly out: string;
  readonly device: string | undefined;
  readonly dryRun: boolean;
  readonly version: string;
  readonly progress: Progress;
  readonly log: Log;
  /** Aborted by the first Ctrl-C. */
  readonly signal: AbortSignal;
  /** From now on Ctrl-C leaves the work so many seconds to finish a step and save. */
  grace(seconds: number): void;
  /** The result for machines. */
  json(value: unknown): void;
  /** The result for people. */
  print(text: string): void;
  /** A remark; nothing with --quiet. */
  info(text: string): void;
  warn(text: string): void;
  /** Runs when the command ends, the latest first. `ok` is false after an error or an interruption. */
  onExit(cleanup: (ok: boolean) => unknown): unknown;
}
