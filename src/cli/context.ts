/** The contract between `script()` and a script: what the script declares, and what it is given. */

import type { Bound } from "../method/bind.ts";
import type { Options, Values } from "../method/options.ts";
import type { Picks } from "../method/picks.ts";
import type { MethodInfo, MethodOf, MethodSource } from "../method/registry.ts";
import type { Log } from "./log.ts";
import type { Progress } from "./progress.ts";

/**
 * What the script's result is. `checkpoint`: binary, to stdout or `-o`. `text`: what it prints, to stdout or `-o`.
 * `none`: what it prints goes to stdout, and `-o` is the script's own business.
 */
export type Output = "checkpoint" | "text" | "none";

/**
 * What the result is, by the values of options and the arguments. Written as a method's type: a script knows more of
 * its values than the frame.
 */
type OutputBy<V> = { of(values: V, args: readonly string[]): Output }["of"];

/** Values of the options that every script has. */
export interface CommonValues {
  readonly method?: string;
  readonly device?: string;
  readonly log?: string;
  readonly tensorboard?: string;
  readonly config?: string;
  readonly seed: number;
  readonly out: string;
  readonly json: boolean;
  readonly dry_run: boolean;
  readonly quiet: boolean;
  readonly verbose: boolean;
  /** Of scripts whose result can be a checkpoint. */
  readonly overwrite?: boolean;
}

/** What a script and each of its sub-commands declare, apart from what depends on the types of their options. */
export interface PlainCommand {
  /** One sentence. */
  readonly about: string;
  /** Form of the arguments: `<model> [...models]`; left out if there are none. */
  readonly args?: string;
  /**
   * Commands as a user would type them, each beginning with `bun run`. The first two are shown where nothing was typed.
   */
  readonly examples: readonly string[];
  /** Kind of the methods that `--method` chooses from. */
  readonly methods?: MethodSource;
  readonly defaultMethod?: string;
  /** The first argument names the method, as `--method` does: `data addition`. */
  readonly methodFirst?: true;
  /** Says its arguments in options of the table, where they are not: `sweep` has those of another script. */
  readonly reword?: (argv: readonly string[], table: Options) => readonly string[];
  /** Arguments that are words of its own and no files: `self` of distill, which no name of a command is meant by. */
  readonly words?: readonly string[];
  /** A sub-command that a flag of its name calls too: `curriculum --stages FILE` is `curriculum stages FILE`. */
  readonly alsoFlag?: true;
  /** "raw": method options are not checked; the script reads `context.raw` (lists, gradients). */
  readonly methodOptions?: "raw";
  readonly options: Options;
  /** Options that `--help` shows; `--help all` shows the others too. All of them when left out. */
  readonly essentials?: readonly string[];
  /** Shown at the end of `--help all`, and of `--help` where that shows all options. */
  readonly notes?: string;
}

/** What a script alone declares. */
interface ScriptOnly {
  readonly name: string;
  /** Claims a `--config` file by its top-level keys as the script's own recipe; its path is then `context.recipe`. */
  readonly isRecipe?: (keys: string[]) => boolean;
  /**
   * Sub-commands that an option with a value calls too, wherever the two stand: `{ "--target data": "data" }`. For what
   * needs options of its own.
   */
  readonly calls?: Readonly<Record<string, string>>;
  /** Sub-commands by name, each with its own options and help: made with `command()`. */
  readonly commands?: Readonly<Record<string, AnyCommand>>;
}

export interface PlainDefinition extends PlainCommand, ScriptOnly {}

/** A sub-command: `curriculum select` is `commands: { select: command({ ... }) }` in the script's definition. */
export interface CommandDefinition<O extends Options, F extends MethodSource> extends PlainCommand {
  readonly methods?: F;
  readonly options: O;
  /** "text" if left out. */
  readonly output?: Output | OutputBy<Values<O> & CommonValues>;
  run(context: Context<O, F>): Promise<Outcome | undefined> | Promise<void>;
}

export interface ScriptDefinition<O extends Options, F extends MethodSource>
  extends CommandDefinition<O, F>,
    ScriptOnly {}

/** A sub-command whose types are forgotten, for the code that handles all alike. */
export interface AnyCommand extends PlainCommand {
  readonly output?: Output | OutputBy<AnyValues>;
  run(context: AnyContext): Promise<Outcome | undefined> | Promise<void>;
}

/**
 * A script whose types are forgotten, or a sub-command that was called: its name is then `curriculum select`, and
 * `script` has its script.
 */
export interface AnyDefinition extends AnyCommand, ScriptOnly {
  readonly script?: AnyDefinition;
}

export type AnyValues = CommonValues & Readonly<Record<string, unknown>>;

/** What a script says at its end; all of it is optional. */
export interface Outcome {
  /** What was written, for the end line and the log: "out/ (2.1 GB)". */
  readonly output?: string;
  /** The figures that count, for the end line: "loss 0.0012, best 0.0400 at step 200". */
  readonly told?: string;
  /** A command that makes sense next. */
  readonly next?: string;
  /** Further fields of the log's `end` line (digests). */
  readonly log?: Record<string, unknown>;
  /** 1 if the work was done and what it found is bad (a check that failed). */
  readonly exitCode?: 0 | 1;
}

/** One `--set key:filter=value`. */
export interface SetEntry {
  readonly key: string;
  readonly filter: string | undefined;
  readonly value: string;
}

/** What a script is given, whatever its options are; what helpers of scripts ask for. */
export interface PlainContext {
  readonly args: readonly string[];
  /**
   * Checked values of the method's options, defaults filled in. With `methodOptions: "raw"` only plain scalars that
   * fit.
   */
  readonly settings: Record<string, unknown>;
  /** For each option with a `kind`, the methods that it names, bound to their values. */
  readonly picks: Readonly<Record<string, readonly Bound[]>>;
  /**
   * Values of the script's own options and of the chosen methods' that are not the defaults, for lineage; without
   * options that decide nothing.
   */
  readonly chosen: Readonly<Record<string, unknown>>;
  /** Values of the same options that decide the result, defaults too: a run resumes with these alone. */
  readonly decisive: Readonly<Record<string, unknown>>;
  /** Method options that were given, as typed; repeated flags are joined by commas. */
  readonly raw: ReadonlyMap<string, string>;
  /** `--set` with a filter; without a method also the plain ones. In the order typed. */
  readonly set: readonly SetEntry[];
  readonly recipe: string | undefined;
  readonly seed: number;
  /** A path, or "-" for stdout. */
  readonly out: string;
  readonly device: string | undefined;
  readonly dryRun: boolean;
  readonly quiet: boolean;
  readonly verbose: boolean;
  /** True if this run's checkpoint goes to stdout, so nothing else may. */
  readonly stdoutTaken: boolean;
  readonly version: string;
  readonly progress: Progress;
  readonly log: Log;
  /**
   * Aborted by the first Ctrl-C. Ask it between steps: `signal.throwIfAborted()`, or finish the step, save and return.
   */
  readonly signal: AbortSignal;
  /**
   * From now on the first Ctrl-C leaves the work so many seconds to finish a step and save. Before that, work that does
   * not stop by itself is ended within two seconds.
   */
  grace(seconds: number): void;
  /** The result for machines: on stdout with `--json` (on stderr if stdout is taken), and in the log. */
  json(value: unknown): void;
  /**
   * One of many results for machines: a JSON line on stdout, whatever the options; also as the last word of a script
   * with `--json`.
   */
  line(value: unknown): void;
  /**
   * The result for people: on stdout, or on stderr if stdout is taken or carries JSON. Adds a newline where there is
   * none. What would steer a terminal is made visible.
   */
  print(text: string): void;
  /**
   * Like `print`, for a result that is a text by itself (a page, a script, an answer of a model): a pipe or a file gets
   * it as it is.
   */
  text(text: string): void;
  /** On stderr, unless `--quiet`. */
  info(text: string): void;
  /** On stderr, always, and in the log. */
  warn(text: string): void;
  /**
   * Runs when the script ends, however it ends; the latest first. `ok` is false after an error or an interruption. A
   * string that it returns says what was left behind, and is printed. Returns a function that takes it back.
   */
  onExit(cleanup: Cleanup): () => void;
}

/** May return a text that says what was left behind, or a promise of it. */
export type Cleanup = (ok: boolean) => unknown;

export interface Context<O extends Options, F extends MethodSource = MethodSource> extends PlainContext {
  readonly options: Values<O> & CommonValues;
  /** The chosen method, if any. */
  readonly method: MethodOf<F> | undefined;
  readonly picks: Picks<O>;
}

export interface AnyContext extends PlainContext {
  readonly options: AnyValues;
  readonly method: MethodInfo | undefined;
}
