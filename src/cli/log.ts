/**
 * The log of a run: one JSON object a line, appended, each line handed to the system as it is written.
 * It is the only record of a run; `report` and any other tool read it.
 */
import { closeSync, openSync, readSync, statSync } from "node:fs";
import { UserError } from "../errors.ts";
import type { EventFile } from "./event-file.ts";
import { writeAll } from "./stderr.ts";

export interface Log {
  /** Identifies this run here and in the lineage of what it writes. */
  readonly run: string;
  /**
   * Writes the `start` line with what the script knows by now (inputs, device). Without this call it is written
   * before the first event that is no warning: warnings that come before it stand behind it.
   */
  start(fields?: Record<string, unknown>): void;
  /** Writes one line; `step` lines get `seconds` since the start unless they bring their own. */
  event(name: string, fields?: Record<string, unknown>): void;
}

/** A log that also records how the run ended. */
export interface OpenLog extends Log {
  end(fields: Record<string, unknown>): void;
}

/** Eight characters, enough to tell runs apart. */
export const newRunId = (): string => {
  const bytes = crypto.getRandomValues(new Uint8Array(8));
  return Array.from(bytes, (byte) => "0123456789abcdefghijklmnopqrstuv"[byte & 31]).join("");
};

const plain = (_key: string, value: unknown): unknown =>
  typeof value === "bigint" ? value.toString() : value instanceof Map ? Object.fromEntries(value) : value;

/** Throws UserError for a file that is not a log: lines would be appended to what other programs read. */
function refuseOthers(path: string): void {
  if (!statSync(path, { throwIfNoEntry: false })?.isFile()) return;
  const fd = openSync(path, "r");
  const head = Buffer.alloc(9);
  const length = readSync(fd, head);
  closeSync(fd);
  if (length > 0 && head.subarray(0, length).toString() !== '{"event":')
    throw new UserError(`--log: ${path} exists but is not a log`, "name another file; logs are appended to");
}

/**
 * Opens a log, or one that writes nowhere if `path` is undefined. What it is told the events of TensorBoard hear, too.
 * Throws UserError if the file cannot be appended to.
 */
export function openLog(
  path: string | undefined,
  run: string,
  about: Record<string, unknown>,
  events?: EventFile,
): OpenLog {
  const began = performance.now();
  const seconds = () => Math.round(performance.now() - began) / 1000;
  let fd: number | undefined;
  const attempt = (action: () => void, exitCode: number) => {
    try {
      action();
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      throw new UserError(`--log: ${path} cannot be written (${code})`, "choose another file", exitCode);
    }
  };
  if (path !== undefined) {
    refuseOthers(path);
    attempt(() => {
      fd = openSync(path, "a");
    }, 2);
  }
  let started = false;
  const early: Record<string, unknown>[] = [];
  const line = (value: Record<string, unknown>) => {
    events?.take(value);
    const file = fd;
    if (file !== undefined) attempt(() => writeAll(file, Buffer.from(`${JSON.stringify(value, plain)}\n`)), 1);
  };
  const log: OpenLog = {
    run,
    start(fields = {}) {
      if (started) return;
      started = true;
      line({ event: "start", run, ...about, ...fields });
      for (const warning of early.splice(0)) line(warning);
    },
    event(name, fields = {}) {
      if (!started && name === "warning") {
        early.push({ event: name, ...fields });
        return;
      }
      log.start();
      const { step, ...others } = fields;
      line(name === "step" ? { event: name, step, seconds: seconds(), ...others } : { event: name, ...fields });
    },
    end({ ok, ...fields }) {
      log.start();
      line({ event: "end", ok, seconds: seconds(), ...fields });
      events?.close();
      if (fd !== undefined) closeSync(fd);
      fd = undefined;
    },
  };
  return log;
}
