/**
 * Where the user stands. `bun run` works in the project's folder, whichever folder it is called from: below the
 * project, or elsewhere with --cwd. Paths on the command line mean files where the user stands, so the script goes back
 * there.
 *
 * Bun (1.4) leaves no word of that folder to the script. The environment with which the shell started `bun run` names
 * it, as PWD; Linux shows that of a parent process. It counts if it agrees with what is seen from here: `bun run` found
 * this project from there, by --cwd or by going up. Elsewhere paths are those of the project's folder.
 */
import { readFileSync, realpathSync } from "node:fs";
import { relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const PROJECT = realpathSync(fileURLToPath(new URL("../../", import.meta.url)));

/** A block of /proc: texts with a zero byte after each. */
const texts = (path: string): string[] => readFileSync(path, "utf8").split("\0");

/** The folder that `--cwd` names on the line of `bun run`, if one does. */
function cwdFlag(words: readonly string[]): string | undefined {
  const at = words.findIndex((word) => word === "--cwd" || word.startsWith("--cwd="));
  if (at < 0) return undefined;
  return words[at] === "--cwd" ? words[at + 1] : words[at]!.slice("--cwd=".length);
}

/** The folder where the user called `bun run`; undefined where nothing or nothing certain is known. */
export function standing(here: string, words: readonly string[], pwd: string | undefined): string | undefined {
  if (pwd === undefined || !pwd.startsWith("/")) return undefined;
  const flag = cwdFlag(words);
  const from = realpathSync(pwd);
  if (flag !== undefined) return realpathSync(resolve(from, flag)) === here ? from : undefined;
  return relative(here, from).startsWith("..") ? undefined : from;
}

/** Goes to the folder where the user called `bun run`. Does nothing for scripts that are started otherwise. */
export function standWhereCalled(): void {
  if (process.platform !== "linux" || process.env.npm_lifecycle_event === undefined) return;
  try {
    const here = realpathSync(process.cwd());
    if (here !== PROJECT) return;
    const parent = `/proc/${process.ppid}`;
    const pwd = texts(`${parent}/environ`).find((text) => text.startsWith("PWD="));
    const folder = standing(here, texts(`${parent}/cmdline`), pwd?.slice("PWD=".length));
    if (folder !== undefined && folder !== here) process.chdir(folder);
  } catch {
    // a parent of another user, or a folder that is gone: paths are those of the project's folder
  }
}
