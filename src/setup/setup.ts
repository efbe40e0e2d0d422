/**
 * From a fresh clone to a checked adapter: packages, a Vulkan driver where there is none, one kernel whose numbers are
 * right. Every step looks first and does only what is missing. Nothing that this file loads is a package until the
 * packages are in.
 */
import { UserError } from "../errors.ts";
import { asLaunched } from "../launcher.ts";
import { installDependencies, type Packages } from "./dependencies.ts";
import { describeAdapter, ensureAdapter } from "./driver.ts";
import { say } from "./run.ts";

export interface SetUpOptions {
  /** "runtime" when left out: what scripts need, without the tools of tests. */
  readonly packages?: Packages;
  /** Say only what has to be done, not what was found in order. */
  readonly quiet?: boolean;
}

/** Sets this machine up; says each thing it does on stderr. Throws a UserError that says what is missing. */
export async function setUp({ packages = "runtime", quiet = false }: SetUpOptions = {}): Promise<void> {
  await installDependencies(say, packages);
  const answer = await ensureAdapter(say);
  if (!quiet) say(`${describeAdapter(answer)} answers, and its numbers are right`);
}

/**
 * Prints an error as every script does, one line and a hint, and returns the exit code. Anything but a UserError is a
 * bug.
 */
export function reportFailure(name: string, error: unknown): number {
  if (!(error instanceof UserError)) throw error;
  process.stderr.write(asLaunched(`${name}: ${error.message}\n${error.hint ? `  hint: ${error.hint}\n` : ""}`));
  return error.exitCode;
}

/**
 * Runs a script that must start without packages. The exit code is what `main` returns, or that of the UserError that
 * it throws.
 */
export async function runToEnd(name: string, main: () => Promise<number>): Promise<void> {
  try {
    process.exitCode = await main();
  } catch (error) {
    process.exitCode = reportFailure(name, error);
  }
}
