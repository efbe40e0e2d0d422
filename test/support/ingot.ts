/** The command `ingot` for shells that run lines of README and docs, as `bun link` would put it on the PATH. */
import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { CLIENT } from "./served/served.ts";

const PROJECT = fileURLToPath(new URL("../../", import.meta.url));

/**
 * Writes `bin/ingot` into a folder; it runs a project's scripts. Gives the environment in which a shell finds it. One
 * that is there stays: a program that another shell is about to run cannot be written.
 */
export function ingotOnPath(folder: string, project = PROJECT): Record<string, string | undefined> {
  const bin = join(folder, "bin");
  const file = join(bin, "ingot");
  const text = `#!/bin/sh\nexec '${process.execPath}' '${CLIENT}' '${join(project, "scripts/ingot.ts")}' "$@"\n`;
  if (!existsSync(file) || readFileSync(file, "utf8") !== text) {
    mkdirSync(bin, { recursive: true });
    writeFileSync(file, text);
    chmodSync(file, 0o755);
  }
  return { ...process.env, PATH: `${bin}:${process.env.PATH}` };
}
