/** What a script is given: its context, made from what the command line resolved to. */
import pkg from "../../package.json";
import { asLaunched } from "../launcher.ts";
import type { Options } from "../method/options.ts";
import { visible } from "../text/visible.ts";
import { speaker } from "./commands.ts";
import type { AnyContext, AnyDefinition, AnyValues, Cleanup, Output } from "./context.ts";
import type { OpenLog } from "./log.ts";
import { textOutput } from "./output.ts";
import { makeProgress } from "./progress.ts";
import type { Resolved } from "./resolve.ts";
import type { Signals } from "./signals.ts";
import { clearStatus, say } from "./stderr.ts";

/** The options of the log's first line: all values but those that say how to run rather than what to do. */
export function loggedOptions({ options: table, values, raw, settings, set }: Resolved): Record<string, unknown> {
  const { help, version, list, set: _set, quiet, verbose, log, tensorboard, seed, method, ...all } = values;
  const options = Object.fromEntries(
    Object.entries(all).map(([name, value]) => [name, table[name]?.secret && value !== undefined ? "(secret)" : value]),
  );
  return { ...options, ...Object.fromEntries(raw), ...settings, ...(set.length > 0 ? { set } : {}) };
}

/** Values that decide the result, in the order of the tables; common options are not among them. */
function decisive({ options, values, settings }: Resolved): Record<string, unknown> {
  const own = Object.entries(options).map(([name, { decides }]) => [name, decides ? undefined : values[name]] as const);
  return Object.fromEntries([...own, ...Object.entries(settings)].filter(([, value]) => value !== undefined));
}

/** Values that are not the defaults, in the order of the tables, without those that decide nothing. */
function chosen({ options, values, settings, method }: Resolved): Record<string, unknown> {
  const differ = (specs: Options, found: Readonly<Record<string, unknown>>) =>
    Object.entries(specs)
      .filter(([name, { decides }]) => decides !== "nothing" && found[name] !== undefined)
      .filter(([name, spec]) => !Bun.deepEquals(found[name], spec.default))
      .map(([name]) => [name, found[name]] as const);
  return Object.fromEntries([...differ(options, values), ...differ(method?.options ?? {}, settings)]);
}

/** What a script says and gives, each in its place. */
function voices({
  name,
  quiet,
  asJson,
  stdoutTaken,
  log,
  toStdout,
}: {
  readonly name: string;
  readonly quiet: boolean;
  readonly asJson: boolean;
  readonly stdoutTaken: boolean;
  readonly log: OpenLog;
  readonly toStdout: (text: string) => void;
}): Pick<AnyContext, "json" | "line" | "print" | "text" | "info" | "warn"> {
  const text = (result: string) => {
    if (!stdoutTaken && !asJson) toStdout(result);
    else if (!quiet) say(result);
  };
  return {
    json(value) {
      log.event("result", { value });
      if (!asJson) return;
      if (stdoutTaken) say(JSON.stringify(value));
      else toStdout(JSON.stringify(value, null, 2));
    },
    line(value) {
      if (stdoutTaken) say(JSON.stringify(value));
      else toStdout(JSON.stringify(value));
    },
    print: (table) => text(visible(table)),
    text,
    info(remark) {
      if (!quiet) say(asLaunched(`${name}: ${remark}`));
    },
    warn(warning) {
      log.event("warning", { text: warning });
      say(asLaunched(`${name}: warning: ${warning}`));
    },
  };
}

/** The context, and the function that runs the cleanups and gives what they left behind. */
export function makeContext(
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
    decisive: decisive(resolved),
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
    grace: signals.grace,
    ...voices({ name, quiet, asJson: options.json, stdoutTaken, log, toStdout }),
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
