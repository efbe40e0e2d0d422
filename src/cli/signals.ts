/**
 * Ctrl-C and SIGTERM. The first one asks: `signal` is aborted, the script stops at a good place and cleans up. The
 * second one ends the process at once. So does the first after some time: work that waits for another program (a pipe
 * that brings nothing, a reader that takes nothing) never reaches a good place, and a scheduler sends one SIGTERM only.
 */
import { say } from "./stderr.ts";

/**
 * Exit codes as shells report them: 128 and the number of the signal. SIGHUP is left alone: listening to it would undo
 * `nohup`, which people rely on for long runs.
 */
const CODES = { SIGINT: 130, SIGTERM: 143 } as const;

/** How long work may continue after it was asked to stop, and then how long its cleanups may take, in ms. */
const GRACE = 2000;

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
  /** Gives the signals back to the system. */
  stop(): void;
}

/**
 * Listens for signals on behalf of a script, which gets `grace` ms to reach a good place. Code that never awaits
 * cannot be interrupted politely.
 */
export function listen(name: string, quiet: boolean, grace = GRACE): Signals {
  const controller = new AbortController();
  const { promise: overdue, reject } = Promise.withResolvers<never>();
  overdue.catch(() => {}); // awaited only while the work runs
  let late = false;
  const timers: ReturnType<typeof setTimeout>[] = [];
  const handlers = Object.keys(CODES).map((key) => {
    const signal = key as keyof typeof CODES;
    const handler = () => {
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
        setTimeout(() => process.exit(reason.exitCode), grace + GRACE),
      );
      controller.abort(reason);
    };
    process.on(signal, handler);
    return () => void process.off(signal, handler);
  });
  return {
    signal: controller.signal,
    reason: () => (controller.signal.aborted ? (controller.signal.reason as Interrupted) : undefined),
    overdue,
    isOverdue: () => late,
    stop: () => {
      for (const timer of timers) clearTimeout(timer);
      for (const remove of handlers) remove();
    },
  };
}
