/** Runs `bun test` over all files, or over those that are asked for, and counts what passed. Loads no package. */
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { ROOT } from "./dependencies.ts";
import { type Counts, countTests, cutShort, failedTests, filesOf } from "./junit.ts";

/** Kernels are compiled and run on the CPU where the driver is a software one. */
const TIMEOUT_MS = 120_000;

/** How long each file took; `--update-timings` measures them anew. */
const TIMINGS = "test/timings.json";

/**
 * Files run side by side; those of one process share its GPU, which costs more to open than most tests take. A process
 * waits for its GPU or for a program about a fifth of the time, so there is one more than cores.
 */
const WORKERS = [`--parallel=${Math.min(4, availableParallelism() + 1)}`, "--no-isolate"];

/**
 * How many rounds of new processes a whole run has: those that lived for over 18 minutes have crashed in native code.
 */
const ROUNDS = 3;

/** How often files are begun that a crash cut short. */
const ATTEMPTS = 3;

/** What a run of tests came to, with the names of the tests that failed. */
export interface Outcome extends Counts {
  readonly failures: readonly string[];
}

const sum = (a: Outcome, b: Outcome): Outcome => ({
  passed: a.passed + b.passed,
  failed: a.failed + b.failed,
  skipped: a.skipped + b.skipped,
  failures: [...a.failures, ...b.failures],
});

/**
 * Deals files into `rounds` lists that take about as long: the slowest goes first, each to the list that has least to
 * do. A file without a time takes `unknown` milliseconds.
 */
export function deal(
  files: readonly string[],
  times: Readonly<Record<string, number>>,
  rounds: number,
  unknown = 1000,
): string[][] {
  const time = (file: string) => times[file] ?? unknown;
  const lists = Array.from({ length: rounds }, () => ({ files: [] as string[], time: 0 }));
  for (const file of files.toSorted((a, b) => time(b) - time(a) || a.localeCompare(b))) {
    const least = lists.reduce((best, list) => (list.time < best.time ? list : best));
    least.files.push(file);
    least.time += time(file);
  }
  return lists.map((list) => list.files).filter((list) => list.length > 0);
}

/** The times of files, in milliseconds, as `bun test --update-timings` wrote them. */
function timesOf(): Record<string, number> {
  const { files }: { files: Record<string, number> } = JSON.parse(readFileSync(join(ROOT, TIMINGS), "utf8"));
  return files;
}

/** Runs a program whose output goes straight through and is kept; returns its exit code and what it said on stderr. */
async function overhear(command: readonly string[]): Promise<{ code: number; said: string }> {
  const env = process.stderr.isTTY ? { ...process.env, FORCE_COLOR: "1" } : process.env;
  const child = Bun.spawn([...command], { cwd: ROOT, env, stdio: ["inherit", "inherit", "pipe"] });
  const parts: Uint8Array[] = [];
  for await (const part of child.stderr) {
    parts.push(part);
    process.stderr.write(part);
  }
  return { code: await child.exited, said: Buffer.concat(parts).toString("utf8") };
}

/**
 * Runs `bun test` once. Returns its counts and, where a process of tests crashed, the files that did not run to their
 * end: of `files`, where they are known, those that the report does not have, and those that are said to be cut short.
 */
async function runOnce(
  rest: readonly string[],
  files: readonly string[],
): Promise<{ outcome: Outcome; cut: string[] }> {
  const folder = mkdtempSync(join(tmpdir(), "ingot-test-"));
  const report = join(folder, "junit.xml");
  try {
    const reporter = ["--reporter=junit", `--reporter-outfile=${report}`];
    const timeout = ["--timeout", `${TIMEOUT_MS}`];
    const options = [...timeout, ...WORKERS, `--timings=${TIMINGS}`, ...reporter];
    const { code, said } = await overhear([process.execPath, "test", ...options, ...rest, ...files]);
    const reported = existsSync(report);
    const xml = reported ? readFileSync(report, "utf8") : "";
    const [crashed, seen] = [new Set(cutShort(said)), filesOf(xml)];
    if (crashed.size > 0) for (const file of files) if (!seen.has(file)) crashed.add(file);
    const [counts, failures, cut] = [countTests(xml, crashed), failedTests(xml, crashed), [...crashed]];
    if (code === 0 && reported) return { outcome: { ...counts, failures }, cut: [] };
    const early = reported ? "" : " before it wrote its report: a crash, or a test that ended the process";
    process.stderr.write(`bun test: ended with code ${code}${early}\n`);
    // A file that could not be loaded has no test case that failed; after a crash it is among those that run again.
    const unloaded = counts.failed === 0 && cut.length === 0;
    return {
      outcome: unloaded
        ? { ...counts, failed: 1, failures: ["a file that has no test case: see above"] }
        : { ...counts, failures },
      cut,
    };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/**
 * Runs files in new processes. A process of tests that crashes (Bun or a native library, not an assertion) ends all
 * others; what it cut short then runs again, and is told. A file that is still cut short at the end has failed.
 */
async function runFiles(files: readonly string[]): Promise<Outcome> {
  let { outcome, cut } = await runOnce([], files);
  for (let attempt = 2; cut.length > 0 && attempt <= ATTEMPTS; attempt++) {
    const which = `(attempt ${attempt} of ${ATTEMPTS})`;
    process.stderr.write(`A process of tests crashed: ${cut.length} files run again ${which}\n`);
    const again = await runOnce([], cut);
    outcome = sum(outcome, again.outcome);
    cut = again.cut;
  }
  const failures = cut.map((file) => `${file}: cut short by a crash`);
  return sum(outcome, { passed: 0, failed: cut.length, skipped: 0, failures });
}

/** Runs the tests that arguments of `bun test` ask for; all of them, in several rounds of processes, without any. */
export async function runTests(rest: readonly string[]): Promise<Outcome> {
  if (rest.length > 0) {
    const { outcome, cut } = await runOnce(rest, []);
    const failures = cut.map((file) => `${file}: cut short by a crash`);
    return sum(outcome, { passed: 0, failed: cut.length, skipped: 0, failures });
  }
  let total: Outcome = { passed: 0, failed: 0, skipped: 0, failures: [] };
  const all = [...new Bun.Glob("test/**/*.test.ts").scanSync(ROOT)];
  for (const files of deal(all, timesOf(), ROUNDS)) total = sum(total, await runFiles(files));
  return total;
}
