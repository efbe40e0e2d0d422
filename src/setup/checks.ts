/** What `test` does: sets up, then checks types, style and tests. Loads no package before set-up. */
import { join } from "node:path";
import { ROOT } from "./dependencies.ts";
import { closingLine } from "./junit.ts";
import { runTests } from "./run-tests.ts";
import { setUp } from "./setup.ts";

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
  for (const name of tests.failures) process.stdout.write(`failed: ${name}\n`);
  const total = {
    passed: tests.passed + results.filter(Boolean).length,
    failed: tests.failed + results.filter((passed) => !passed).length,
    skipped: tests.skipped,
  };
  process.stdout.write(`${closingLine(total)}\n`);
  return total.failed > 0 ? 1 : 0;
}
