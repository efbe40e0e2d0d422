/**
 * A command in a session of its own, which can be ended with all that it started.
 *
 * What it starts is in its process group, unless it leaves that on purpose (`setsid`, daemons): on Linux such processes
 * are known by a mark in their environment, which they inherit. Each tree has a variable of its own, so that what
 * a tree within it starts has both.
 */

import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";

const living = new Set<ProcessTree>();
let isWatching = false;

/** Ends whatever still runs when this process does. */
function watch(): void {
  if (isWatching) return;
  isWatching = true;
  process.on("exit", () => {
    for (const tree of living) tree.kill();
  });
}

export class ProcessTree {
  readonly child: ChildProcessWithoutNullStreams;
  readonly #mark: string;

  /** Starts a line of the shell; `unbuffered` asks Python to write each line at once. */
  constructor(command: string, unbuffered: boolean) {
    watch();
    this.#mark = `INGOT_VERIFIER_${randomUUID().replaceAll("-", "")}`;
    this.child = spawn("sh", ["-c", command], {
      detached: true,
      stdio: ["pipe", "pipe", "pipe"],
      env: { ...process.env, [this.#mark]: "1", ...(unbuffered ? { PYTHONUNBUFFERED: "1" } : {}) },
    });
    living.add(this);
  }

  /** Ends the command and what it started; it cannot refuse. */
  kill(): void {
    living.delete(this);
    killGroup(this.child.pid);
    // A process may start another while the list is read, so it is read until it is empty.
    for (let round = 0; round < 8; round++) {
      const found = marked(`${this.#mark}=1`);
      if (found.length === 0) break;
      for (const pid of found) kill(pid);
    }
  }
}

function killGroup(pid: number | undefined): void {
  if (pid !== undefined) kill(-pid);
}

function kill(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // It has ended by itself.
  }
}

/** Processes with an entry in their environment; none where the system does not tell. */
function marked(entry: string): number[] {
  let pids: string[];
  try {
    pids = readdirSync("/proc").filter((name) => /^\d+$/.test(name));
  } catch {
    return [];
  }
  return pids.map(Number).filter((pid) => pid !== process.pid && environmentOf(pid).includes(entry));
}

function environmentOf(pid: number): string[] {
  try {
    return readFileSync(`/proc/${pid}/environ`, "latin1").split("\0");
  } catch {
    return []; // another user's, or ended
  }
}
