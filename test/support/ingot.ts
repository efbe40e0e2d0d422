/** The command `ingot` for shells that run lines of README and docs, as `bun link` would put it on the PATH. */
import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { CLIENT } from "./served/served.ts";

const PROJECT = fileURLToPath(new URL("../../", import.meta.url));

/** Writes `bin/ingot` into a folder; it runs a project's scripts. Gives the environment in which a shell finds it. */
export function ingotOnPath(folder: string, project = PROJECT): Record<string, string | undefined> {
  const bin = join(folder, "bin");
  mkdirSync(bin, { recursive: true });
  writeFileSync(
    join(bin, "ingot"),
    `#!/bin/sh\nexec '${process.execPath}' '${CLIENT}' '${join(project, "scripts/ingot.ts")}' "$@"\n`,
  );
  chmodSync(join(bin, "ingot"), 0o755);
  return { ...process.env, PATH: `${bin}:${process.env.PATH}` };
}
