/**
 * The frame of every script: reads the command line, runs the script, and ends the process as a shell expects.
 *
 *   0 done    1 failed    2 wrong use or bad input    130 interrupted (143 by SIGTERM)
 *
 * A reader that closes the pipe early (`... | head`) is no failure: the script stops without a word and ends with 0. A script
 * that would lose work by that catches it, saves, and throws a UserError with exit code 1.
 */
import { isatty } from "node:tty";
import pkg from "../../package.json";
import { UserError } from "../errors.ts";
import { asLaunched } from "../launcher.ts";
import type { Options } from "../method/options.ts";
import { loadMethods, type MethodSource, roomOf } from "../method/registry.ts";
import { humanBytes, humanTime } from "../text/format.ts";
import { chosenMethod, chosenPicks } from "./choices.ts";
import { calledDefinition } from "./commands.ts";
import type { AnyContext, AnyDefinition, AnyValues, Cleanup, Outcome, Output, ScriptDefinition } from "./context.ts";
import { explain, messageOf, report } from "./explain.ts";
import { helpText, listJson, listText, shortHelp } from "./help.ts";
import { newRunId, type OpenLog, openLog } from "./log.ts";
import { textOutput } from "./output.ts";
import { peekSwitch } from "./parse.ts";
import { peakMemory } from "./peak-memory.ts";
import { makeProgress } from "./progress.ts";
import { type Resolved, resolve } from "./resolve.ts";
import { listen, type Signals } from "./signals.ts";
import { clearStatus, say, writeAll } from "./stderr.ts";

export { command } from "./commands.ts";
export type { Context, Outcome, Output, ScriptDefinition } from "./context.ts";

/** Runs a script to its end and sets the exit code. Never throws; awaited at the bottom of a file of scripts/. */
export async function script<const O extends Options, const F extends MethodSource = MethodSource>(
  definition: ScriptDefinition<O, F>,
  argv: readonly string[] = process.argv.slice(2),
): Promise<void> {
  const { name } = definition;
  let finished = false;
  process.on("exit", (code) => {
    if (finished || code > 128) return; // above 128: stopped by a signal
    process.exitCode ||= 1; // a library that ends the process must not make it look done
    say(`${name}: ended before its work was done\n${report()}`);
  });
  let code: number;
  try {
    const called = calledDefinition(definition, argv);
    code = (await answer(called.definition, called.argv)) ?? (await work(called.definition, called.argv));
  } catch (error) {
    code = explain(name, error);
  }
  finished = true;
  process.exitCode = code;
}

/** Who speaks in messages: the script, also for its sub-commands. */
const speaker = ({ script: parent, name }: AnyDefinition): string => parent?.name ?? name;

/** Answers what needs no work (`--help`, `--version`, `--list`, nothing at all); undefined if there is work to do. */
async function answer(definition: AnyDefinition, argv: readonly string[]): Promise<number | undefined> {
  const { name, methods, args } = definition;
  const put = (text: string) => writeAll(1, Buffer.from(text));
  if (peekSwitch(argv, "--help", "-h")) {
    const method = await chosenMethod({ methods }, argv);
    const picks = await chosenPicks(definition.options, argv);
    const others = methods === undefined || method?.said ? [] : await loadMethods(methods);
    const width = Math.min(isatty(1) ? process.stdout.columns || 100 : 100, 120);
    put(helpText(definition, others, method?.said ? [method, ...picks] : picks, width));
    return 0;
  }
  if (peekSwitch(argv, "--version")) {
    put(`${name} ${pkg.version}\n`);
    return 0;
  }
  if (peekSwitch(argv, "--list")) {
    const groups = await Promise.all(
      listedSources(definition).map(async (source) => ({ source, methods: await loadMethods(source) })),
    );
    if (groups.length > 0) {
      put(peekSwitch(argv, "--json") ? listJson(groups) : listText(groups));
      return 0;
    }
  }
  if (argv.length === 0 && args && isatty(0)) {
    say(shortHelp(definition));
    return 2;
  }
}

/**
 * The kinds that `--list` shows: those that `--method` and other options choose from, the sub-commands' too, as far as their files are in
 * the script's own room (optimizers are listed by `train`); all of them where none is.
 */
function listedSources({ name, script: parent, methods, options, commands }: AnyDefinition): MethodSource[] {
  const room = parent?.name ?? name;
  const tables = [options, ...Object.values(commands ?? {}).map((each) => each.options)];
  const kinds = tables.flatMap((table) => Object.values(table)).flatMap(({ kind }) => kind ?? []);
  const own = kinds.filter((kind) => roomOf(kind) === room);
  const listed = methods === undefined ? [] : [methods];
  return [...new Set<MethodSource>([...listed, ...(listed.length + own.length > 0 ? own : kinds)])];
}

/** Resolves, checks, runs, cleans up; gives the exit code, or throws what the script threw. */
async function work(definition: AnyDefinition, argv: readonly string[]): Promise<number> {
  const name = speaker(definition);
  const resolved = await resolve(definition, argv);
  const options = resolved.values as AnyValues;
  const output =
    typeof definition.output === "function" ? definition.output(options, resolved.args) : (definition.output ?? "text");
  const stdoutTaken = output === "checkpoint" && options.out === "-" && !options.dry_run;
  if (stdoutTaken && isatty(1))
    throw new UserError(
      "the result is binary and stdout is a terminal",
      "write it to a file (-o FILE or > FILE), or hand it to a command (| ...)",
    );

  const log = openLog(options.log, newRunId(), {
    script: definition.name,
    method: resolved.method?.name,
    options: given(resolved),
    inputs: resolved.args,
    version: pkg.version,
    seed: options.seed,
    time: new Date().toISOString(),
  });
  const signals = listen(name, options.quiet, definition.grace && 1000 * definition.grace);
  const { context, finish } = makeContext(definition, resolved, output, stdoutTaken, log, signals);
  const began = performance.now();
  let outcome: Outcome | undefined;
  let failure: { error: unknown } | undefined;
  const fault = unseenFaults();
  try {
    outcome = (await Promise.race([definition.run(context), fault.promise, signals.overdue])) ?? undefined;
  } catch (error) {
    failure = { error };
  }
  const interrupted = signals.reason();
  const left = await finish(!failure && !interrupted).catch((error) => {
    failure ??= { error };
    return [];
  });
  signals.stop();
  fault.over(!failure && !interrupted);

  const wrong = interrupted?.message ?? (failure && messageOf(failure.error));
  try {
    const error = wrong === undefined ? {} : { error: wrong };
    log.end({ ok: wrong === undefined, ...error, out: outcome?.output, ...outcome?.log });
  } catch (error) {
    failure ??= { error }; // a log that cannot be written does not hide what went wrong before
  }
  if (interrupted) {
    // What the script throws while it stops is how it stopped, unless it has something to tell the user.
    if (failure && (failure.error instanceof UserError || options.verbose)) explain(name, failure.error);
    say(`${name}: ${[interrupted.message, ...left].join("; ")}`);
    if (signals.isOverdue()) process.exit(interrupted.exitCode); // what it waits for would hold the process up
    return interrupted.exitCode;
  }
  if (failure) {
    for (const text of left) say(`${name}: ${text}`);
    if (!fault.seen()) throw failure.error;
    process.exit(explain(name, failure.error)); // the work goes on somewhere, and nobody awaits it any more
  }
  if (!options.quiet) endLine(name, (performance.now() - began) / 1000, outcome, stdoutTaken || options.verbose);
  return outcome?.exitCode ?? 0;
}

/**
 * Errors that nothing awaits (a callback's, a forgotten promise's) end the work as an error of the script's own would.
 * Once the work has failed, further ones are its echo; after success they are bugs, and left to the runtime.
 */
function unseenFaults() {
  const { promise, reject } = Promise.withResolvers<never>();
  promise.catch(() => {});
  let seen = false;
  const handler = (error: unknown) => {
    seen = true;
    reject(error);
  };
  const events = ["uncaughtException", "unhandledRejection"] as const;
  for (const event of events) process.on(event, handler);
  return {
    promise,
    seen: () => seen,
    over(ok: boolean) {
      if (ok) for (const event of events) process.off(event, handler);
    },
  };
}

/** What the log's first line tells of options: all values but those that say how to run rather than what to do. */
function given({ values, raw, settings, set }: Resolved): Record<string, unknown> {
  const { help, version, list, set: _set, quiet, verbose, log, seed, method, ...options } = values;
  return { ...options, ...Object.fromEntries(raw), ...settings, ...(set.length > 0 ? { set } : {}) };
}

function chosen({ options, values, settings, method }: Resolved): Record<string, unknown> {
  const differ = (specs: Options, found: Readonly<Record<string, unknown>>) =>
    Object.keys(specs)
      .filter((name) => found[name] !== undefined && !Bun.deepEquals(found[name], specs[name]!.default))
      .map((name) => [name, found[name]] as const);
  return Object.fromEntries([...differ(options, values), ...differ(method?.options ?? {}, settings)]);
}

/** Time, peak memory, what was written, and what may come next. */
function endLine(name: string, seconds: number, outcome: Outcome | undefined, always: boolean): void {
  if (!always && outcome?.output === undefined) return;
  const peak = humanBytes(peakMemory());
  say(`${name}: ${[humanTime(seconds), `peak ${peak}`, outcome?.output].filter(Boolean).join(", ")}`);
  if (outcome?.next) say(`  next: ${asLaunched(outcome.next)}`);
}

/** The context, and the function that runs the cleanups and gives what they left behind. */
function makeContext(
  definition: AnyDefinition,
  resolved: Resolved,
  output: Output,
  stdoutTaken: boolean,
  log: OpenLog,
  signals: Signals,
) {
  const name = speaker(definition);
  const options = resolved.values as AnyValues;
  const quiet = options.quiet;
  const target = textOutput(output === "text" && !options.dry_run ? options.out : "-");
  const progress = makeProgress(name, quiet);
  const cleanups = new Set<Cleanup>();
  const ended = (text: string) => (text.endsWith("\n") ? text : `${text}\n`);
  const toStdout = (text: string) => {
    clearStatus();
    target.write(ended(text));
  };

  const context: AnyContext = {
    args: resolved.args,
    options,
    method: resolved.method,
    settings: resolved.settings,
    picks: resolved.picks,
    chosen: chosen(resolved),
    raw: resolved.raw,
    set: resolved.set,
    recipe: resolved.recipe,
    seed: options.seed,
    out: options.out,
    device: options.device,
    dryRun: options.dry_run,
    quiet,
    verbose: options.verbose,
    stdoutTaken,
    version: pkg.version,
    progress,
    log,
    signal: signals.signal,
    json(value) {
      log.event("result", { value });
      if (!options.json) return;
      if (stdoutTaken) say(JSON.stringify(value));
      else toStdout(JSON.stringify(value, null, 2));
    },
    line(value) {
      if (stdoutTaken) say(JSON.stringify(value));
      else toStdout(JSON.stringify(value));
    },
    print(text) {
      if (!stdoutTaken && !options.json) toStdout(text);
      else if (!quiet) say(text);
    },
    info(text) {
      if (!quiet) say(asLaunched(`${name}: ${text}`));
    },
    warn(text) {
      log.event("warning", { text });
      say(asLaunched(`${name}: warning: ${text}`));
    },
    onExit(cleanup) {
      cleanups.add(cleanup);
      return () => void cleanups.delete(cleanup);
    },
  };

  const finish = async (ok: boolean): Promise<string[]> => {
    progress.done();
    const left: string[] = [];
    const failures: unknown[] = [];
    for (const cleanup of [...cleanups].reverse()) {
      try {
        const text = await cleanup(ok);
        if (typeof text === "string" && text !== "") left.push(text);
      } catch (error) {
        failures.push(error); // the others still get their turn
      }
    }
    if (ok) target.commit();
    else target.discard();
    if (failures.length > 0) throw failures[0];
    return left;
  };
  return { context, finish };
}
