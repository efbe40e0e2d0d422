/** The packages that the lock file names, installed when they are missing or the lock file has changed. */
import { createHash } from "node:crypto";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { UserError } from "../errors.ts";
import { exclusively } from "./exclusive.ts";
import { lastWords, run, type Say } from "./run.ts";

/** The repository: the folder of package.json. */
export const ROOT = join(import.meta.dir, "..", "..");

const stampFile = (root: string) => join(root, "node_modules", ".ingot-installed");

/** What an installation depends on: the lock file, and the system that its native libraries were chosen for. */
function wantedStamp(root: string): string {
  const lock = createHash("sha256")
    .update(readFileSync(join(root, "bun.lock")))
    .digest("hex");
  return `${process.platform}-${process.arch} ${lock}\n`;
}

/** Whether the packages were installed from the lock file as it is now, for this system. */
export function dependenciesAreCurrent(root = ROOT): boolean {
  const stamp = stampFile(root);
  return existsSync(stamp) && readFileSync(stamp, "utf8") === wantedStamp(root);
}

/**
 * Installs the packages of the lock file, with the Bun that runs this, unless that has been done. A second process that
 * needs them at the same time waits for the first. Throws a UserError when they cannot be installed.
 */
export async function installDependencies(say: Say, root = ROOT): Promise<void> {
  if (dependenciesAreCurrent(root)) return;
  const install = async () => {
    if (dependenciesAreCurrent(root)) return;
    say("installing the packages of bun.lock");
    const started = performance.now();
    const ended = await run([process.execPath, "install", "--frozen-lockfile"], { cwd: root });
    if (ended.code !== 0) {
      throw new UserError(
        `The packages of bun.lock could not be installed:\n    ${lastWords(ended)}`,
        "check the network and the registry that .npmrc names; if package.json changed, run: bun install",
        1,
      );
    }
    writeFileSync(stampFile(root), wantedStamp(root));
    say(`packages installed in ${((performance.now() - started) / 1000).toFixed(1)} s`);
  };
  await exclusively(join(root, ".ingot", "install.lock"), install, () =>
    say("waiting for another process that installs the packages"),
  );
}
