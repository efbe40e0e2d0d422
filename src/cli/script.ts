/**
 * The frame of every script: reads the command line, runs the script, and ends the process as a shell expects.
 *
 *   0 done    1 failed    2 wrong use or bad input    130 interrupted (143 by SIGTERM)
 *
 * A reader that closes the pipe early (`... | head`) is no failure: the script stops without a word and ends with 0. A
 * script that would lose work by that catches it, saves, and throws a UserError with exit code 1.
 */
import { isatty } from "node:tty";
import pkg from "../../package.json";
import { UserError } from "../errors.ts";
import { asLaunched } from "../launcher.ts";
import type { Options } from "../method/options.ts";
import type { MethodSource } from "../method/registry.ts";
import { peakMemory } from "../peak-memory.ts";
import { humanBytes, humanTime } from "../text/format.ts";
import { answer } from "./answers.ts";
import { calledDefinition, speaker } from "./commands.ts";
import type { AnyDefinition, AnyValues, Outcome, ScriptDefinition } from "./context.ts";
import { isAsked } from "./definitions.ts";
import { explain, messageOf, report } from "./explain.ts";
import { newRunId, openLog } from "./log.ts";
import { refuseLosses } from "./outputs.ts";
import { peekSwitch } from "./parse.ts";
import { resolve } from "./resolve.ts";
import { reworded } from "./reword.ts";
import { loggedOptions, makeContext } from "./run-context.ts";
import { listen, type Signals } from "./signals.ts";
import { standWhereCalled } from "./standing.ts";
import { say } from "./stderr.ts";

export { command } from "./commands.ts";
export type { Context, Outcome, Output, ScriptDefinition } from "./context.ts";

/** Runs a script to its end and sets the exit code. Never throws; awaited at the bottom of a file of scripts/. */
export async function script<const O extends Options, const F extends MethodSource = MethodSource>(
  definition: ScriptDefinition<O, F>,
  argv: readonly string[] = process.argv.slice(2),
): Promise<void> {
  if (isAsked(definition)) return;
  const { name } = definition;
  standWhereCalled();
  let finished = false;
  process.on("exit", (code) => {
    if (finished || code > 128) return; // above 128: stopped by a signal
    process.exitCode ||= 1; // a library that ends the process must not make it look done
    say(`${name}: ended before its work was done\n${report()}`);
  });
  let code: number;
  try {
    const called = calledDefinition(definition, await reworded(definition, argv));
    code = (await answer(called.definition, called.argv)) ?? (await work(called.definition, called.argv));
  } catch (error) {
    code = explain(name, error);
  }
  finished = true;
  process.exitCode = code;
}

/** Works under signals, from the first file that is read. Gives the exit code, or throws what the script threw. */
async function work(definition: AnyDefinition, argv: readonly string[]): Promise<number> {
  const signals = listen(speaker(definition), peekSwitch(argv, "--quiet", "-q"));
  try {
    return await workUnder(signals, definition, argv);
  } finally {
    signals.stop();
  }
}

/** Resolves, checks, runs, cleans up. */
async function workUnder(signals: Signals, definition: AnyDefinition, argv: readonly string[]): Promise<number> {
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

  await refuseLosses(definition, resolved, output);

  const [run, time] = [newRunId(), new Date()];
  const about = {
    script: definition.name,
    method: resolved.method?.name,
    options: loggedOptions(resolved),
    inputs: resolved.args,
    version: pkg.version,
    seed: options.seed,
    time: time.toISOString(),
  };
  const events =
    options.tensorboard === undefined || options.dry_run
      ? undefined
      : (await import("./event-file.ts")).openEventFile(options.tensorboard, run, time.getTime());
  const log = openLog(options.log, run, about, events);
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
    // What the script throws while it stops is how it stopped; a UserError is shown all the same.
    if (failure && (failure.error instanceof UserError || options.verbose)) explain(name, failure.error);
    say(`${name}: ${[interrupted.message, ...left].join("; ")}`);
    if (signals.isOverdue()) process.exit(interrupted.exitCode); // what it waits for would hold the process up
    return interrupted.exitCode;
  }
  if (failure) {
    for (const text of left) say(`${name}: ${text}`);
    if (!fault.seen()) throw failure.error;
    process.exit(explain(name, failure.error)); // the work still runs somewhere, and nothing awaits it
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

/** Time, peak memory, what was written, and what may come next. */
function endLine(name: string, seconds: number, outcome: Outcome | undefined, always: boolean): void {
  if (!always && outcome?.output === undefined) return;
  const peak = humanBytes(peakMemory());
  say(`${name}: ${[humanTime(seconds), `peak ${peak}`, outcome?.output].filter(Boolean).join(", ")}`);
  if (outcome?.told) say(`${name}: ${outcome.told}`);
  if (outcome?.next) say(`  next: ${asLaunched(outcome.next)}`);
}
