/** What `test` does: sets up, then checks types, style and tests. Loads no package before set-up. */
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { ROOT } from "./dependencies.ts";
import { type Counts, closingLine, countTests } from "./junit.ts";
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

async function runTests(rest: readonly string[]): Promise<Counts> {
  const folder = mkdtempSync(join(tmpdir(), "ingot-test-"));
  const report = join(folder, "junit.xml");
  try {
    const reporter = ["--reporter=junit", `--reporter-outfile=${report}`];
    const timeout = ["--timeout", `${TIMEOUT_MS}`];
    const code = await passThrough([process.execPath, "test", ...timeout, ...WORKERS, TIMINGS, ...reporter, ...rest]);
    const reported = existsSync(report);
    const counts = countTests(reported ? readFileSync(report, "utf8") : "");
    if (code === 0 && reported) return counts;
    const early = reported ? "" : " before it wrote its report: a crash, or a test that ended the process";
    process.stderr.write(`bun test: ended with code ${code}${early}\n`);
    // Neither a crash nor a file that could not be loaded has a test case that failed.
    return { ...counts, failed: Math.max(counts.failed, 1) };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
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
