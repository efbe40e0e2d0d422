/**
 * One process at a time, on one machine: the next one waits.
 *
 * The lock is SQLite's on a separate file, which the system frees however its holder ends: a file with a
 * process id in it would have to be judged stale by the next one, who may be wrong.
 */
import { Database } from "bun:sqlite";
import { mkdirSync } from "node:fs";
import { dirname } from "node:path";

/** Runs `work` while holding `file`; `waiting` is called once when another process has it. */
export async function exclusively<T>(file: string, work: () => Promise<T>, waiting: () => void): Promise<T> {
  mkdirSync(dirname(file), { recursive: true });
  const lock = new Database(file, { create: true });
  try {
    for (let tries = 0; ; tries++) {
      try {
        lock.run("BEGIN EXCLUSIVE");
        break;
      } catch (error) {
        if ((error as { code?: string }).code !== "SQLITE_BUSY") throw error;
        if (tries === 0) waiting();
        await Bun.sleep(100);
      }
    }
    return await work();
  } finally {
    lock.close();
  }
}
