/**
 * Which kernels a test file answers for. A kernel's header names the file, the file names the kernel here, and this
 * checks that the kernel really ran: so `test/wgsl/conventions.test.ts` can say that every kernel of wgsl/ is run by a
 * test.
 */
import { afterAll, beforeAll } from "bun:test";
import { readFileSync } from "node:fs";
import { Gpu } from "../../src/gpu/gpu.ts";
import type { Kernel } from "../../src/gpu/kernel.ts";

const ran = new Set<string>();

/** Notes every kernel that is dispatched, at once or replayed. */
function listen(): void {
  const { run, replay } = Gpu.prototype;
  const note = ({ label }: Pick<Kernel, "label">) => ran.add(label.split("+")[0]!);
  Gpu.prototype.run = function (kernel, dispatch) {
    note(kernel);
    return run.call(this, kernel, dispatch);
  };
  Gpu.prototype.replay = function (dispatches) {
    for (const { kernel } of dispatches) note(kernel);
    return replay.call(this, dispatches);
  };
}

/** With a name pattern only some of a file's tests run, so nothing can be said of what ran. */
function isFiltered(): boolean {
  try {
    return /\0(-t|--test-name-pattern)[\0=]/.test(readFileSync("/proc/self/cmdline", "utf8"));
  } catch {
    return true; // a system that does not tell
  }
}

let listening = false;

/** Fails the file if its tests do not run all of these kernels: `covers("merge/dots", "merge/dots-along")`. */
export function covers(...kernels: string[]): void {
  if (!listening) listen();
  listening = true;
  beforeAll(() => ran.clear());
  afterAll(() => {
    const missing = kernels.filter((kernel) => !ran.has(kernel));
    if (missing.length > 0 && !isFiltered()) throw new Error(`no test of this file runs ${missing.join(", ")}`);
  });
}
