/** What `test` does: sets up, then checks types, style and tests. Loads no package before set-up. */
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { ROOT } from "./dependencies.ts";
import { type Counts, closingLine, countTests, cutShort, filesOf } from "./junit.ts";
import { setUp } from "./setup.ts";

/** Kernels are compiled and run on the CPU where the driver is a software one. */
const TIMEOUT_MS = 120_000;

const HELP = `Set up, then check types (tsc), style (biome) and tests (bun test)

  bun run test [--only-tests] [arguments of bun test]

  --only-tests   leave types and style out
  --help         this text
`;

/** Runs a program whose output goes straight through; returns its exit code. */
async function passThrough(command: readonly string[]): Promise<number> {
  const child = Bun.spawn([...command], { cwd: ROOT, stdio: ["inherit", "inherit", "inherit"] });
  return child.exited;
}

/** A program of a package, run by this Bun: its first line may ask for a Node that is not there. */
const packaged = (path: string, ...rest: string[]) => [
  process.execPath,
  "--bun",
  join(ROOT, "node_modules", path),
  ...rest,
];

async function check(name: string, command: readonly string[]): Promise<boolean> {
  process.stderr.write(`${name}\n`);
  const code = await passThrough(command);
  if (code !== 0) process.stderr.write(`${name}: failed with code ${code}\n`);
  return code === 0;
}

/** The slowest files begin first, or one of them is all that runs at the end; `--update-timings` measures them anew. */
const TIMINGS = "--timings=test/timings.json";

/**
 * Files run side by side; those of one process share its GPU, which costs more to open than most tests take. A process
 * waits for its GPU or for a program about a fifth of the time, so there is one more than cores.
 */
const WORKERS = [`--parallel=${Math.min(4, availableParallelism() + 1)}`, "--no-isolate"];

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
async function runOnce(rest: readonly string[], files: readonly string[]): Promise<{ counts: Counts; cut: string[] }> {
  const folder = mkdtempSync(join(tmpdir(), "ingot-test-"));
  const report = join(folder, "junit.xml");
  try {
    const reporter = ["--reporter=junit", `--reporter-outfile=${report}`];
    const timeout = ["--timeout", `${TIMEOUT_MS}`];
    const options = [...timeout, ...WORKERS, TIMINGS, ...reporter];
    const { code, said } = await overhear([process.execPath, "test", ...options, ...rest]);
    const reported = existsSync(report);
    const xml = reported ? readFileSync(report, "utf8") : "";
    if (code === 0 && reported) return { counts: countTests(xml), cut: [] };
    const [crashed, seen] = [new Set(cutShort(said)), filesOf(xml)];
    if (crashed.size > 0) for (const file of files) if (!seen.has(file)) crashed.add(file);
    const [cut, counts] = [[...crashed], countTests(xml, crashed)];
    const early = reported ? "" : " before it wrote its report: a crash, or a test that ended the process";
    process.stderr.write(`bun test: ended with code ${code}${early}\n`);
    // A file that could not be loaded has no test case that failed; after a crash it is among those that run again.
    return { counts: { ...counts, failed: Math.max(counts.failed, cut.length > 0 ? 0 : 1) }, cut };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** How often files are begun that a crash cut short. */
const ATTEMPTS = 3;

/**
 * Runs the tests. A process of tests that crashes (Bun or a native library, not an assertion) ends all others; what it
 * cut short then runs again in new processes, and is told. A file that is still cut short at the end has failed.
 */
async function runTests(rest: readonly string[]): Promise<Counts> {
  const all = [...new Bun.Glob("test/**/*.test.ts").scanSync(ROOT)];
  let { counts, cut } = await runOnce(rest, rest.length === 0 ? all : []);
  for (let attempt = 2; cut.length > 0 && rest.length === 0 && attempt <= ATTEMPTS; attempt++) {
    const which = `(attempt ${attempt} of ${ATTEMPTS})`;
    process.stderr.write(`A process of tests crashed: ${cut.length} files run again ${which}\n`);
    const again = await runOnce(cut, cut);
    counts = {
      passed: counts.passed + again.counts.passed,
      failed: counts.failed + again.counts.failed,
      skipped: counts.skipped + again.counts.skipped,
    };
    cut = again.cut;
  }
  for (const file of cut) process.stderr.write(`${file}: cut short by a crash\n`);
  return { ...counts, failed: counts.failed + cut.length };
}

/** Runs `test` with its arguments; returns the exit code, 1 if anything failed. Throws UserError where set-up fails. */
export async function runChecks(args: readonly string[]): Promise<number> {
  if (args.includes("--help") || args.includes("-h")) {
    process.stdout.write(HELP);
    return 0;
  }
  await setUp({ packages: "all" });
  const results: boolean[] = [];
  if (!args.includes("--only-tests")) {
    results.push(await check("tsc --noEmit", packaged("typescript/bin/tsc", "--noEmit")));
    results.push(
      await check(
        "biome ci",
        packaged("@biomejs/biome/bin/biome", "ci", `--colors=${process.stdout.isTTY ? "force" : "off"}`, "."),
      ),
    );
  }
  const tests = await runTests(args.filter((arg) => arg !== "--only-tests"));
  const total = {
    passed: tests.passed + results.filter(Boolean).length,
    failed: tests.failed + results.filter((passed) => !passed).length,
    skipped: tests.skipped,
  };
  process.stdout.write(`${closingLine(total)}\n`);
  return total.failed > 0 ? 1 : 0;
}
