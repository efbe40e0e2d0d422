/**
 * Ctrl-C and SIGTERM. The first one asks: `signal` is aborted, the script stops at a good place and cleans up. The
 * second one ends the process at once. So does the first after some time: work that waits for another program (a pipe
 * that brings nothing, a reader that takes nothing) never reaches a good place, and a scheduler sends one SIGTERM only.
 * Work that never lets this file's handlers run (a loop without end) is ended by the system's timer, see deadline.ts.
 */
import { deadline } from "./deadline.ts";
import { say, stderrIsTerminal } from "./stderr.ts";

/**
 * Exit codes as shells report them: 128 and the number of the signal. SIGHUP is left alone: listening to it would undo
 * `nohup`, which people rely on for long runs.
 */
const CODES = { SIGINT: 130, SIGTERM: 143 } as const;

/**
 * How long work may continue after it was asked to stop, how long its cleanups may take, and how long JavaScript may
 * hear nothing of a signal, in ms. Together less than the two seconds after which people take a program for stuck.
 */
const GRACE = 1400;
const CLEANUP = 450;
const DEAF = 1500;

/**
 * The reason of an aborted `signal`. Named AbortError, as `signal.throwIfAborted()` and the platform's functions do.
 */
export class Interrupted extends Error {
  override readonly name = "AbortError";
  readonly exitCode: number;

  constructor(signal: keyof typeof CODES) {
    super(`interrupted by ${signal}`);
    this.exitCode = CODES[signal];
  }
}

export interface Signals {
  readonly signal: AbortSignal;
  /** Set once a signal has come. */
  reason(): Interrupted | undefined;
  /** Rejects with the reason when the work has not stopped in time. */
  readonly overdue: Promise<never>;
  isOverdue(): boolean;
  /** Work that begins now may continue for so many seconds: it saves what would be lost. */
  grace(seconds: number): void;
  /** Gives the signals back to the system. */
  stop(): void;
}

/** Listens for signals on behalf of a script of this name. */
export function listen(name: string, quiet: boolean): Signals {
  const controller = new AbortController();
  const { promise: overdue, reject } = Promise.withResolvers<never>();
  overdue.catch(() => {}); // awaited only while the work runs
  let late = false;
  let stopped = false;
  let grace = GRACE;
  const timers: ReturnType<typeof setTimeout>[] = [];
  const ask = (signal: keyof typeof CODES) => {
    // Nothing that is still unwritten matters now: the user asked twice.
    if (controller.signal.aborted) process.exit(CODES[signal]);
    if (!quiet && signal === "SIGINT") say(`${name}: stopping; press Ctrl-C again to stop at once`);
    const reason = new Interrupted(signal);
    const giveUp = () => {
      late = true;
      reject(reason);
    };
    timers.push(
      setTimeout(giveUp, grace),
      setTimeout(() => process.exit(reason.exitCode), grace + CLEANUP),
    );
    native?.within(grace + CLEANUP + 50);
    controller.abort(reason);
  };
  const handlers = Object.keys(CODES).map((key) => {
    const handler = () => ask(key as keyof typeof CODES);
    process.on(key, handler);
    return () => void process.off(key, handler);
  });
  const line = stderrIsTerminal() ? "\r\x1b[K" : "";
  const native = deadline(DEAF, `${line}${name}: interrupted; it was too busy to stop by itself\n`);
  return {
    signal: controller.signal,
    reason: () => (controller.signal.aborted ? (controller.signal.reason as Interrupted) : undefined),
    overdue,
    isOverdue: () => late,
    grace: (seconds) => {
      grace = 1000 * seconds;
    },
    stop: () => {
      if (stopped) return;
      stopped = true;
      for (const timer of timers) clearTimeout(timer);
      native?.end();
      for (const remove of handlers) remove();
    },
  };
}
