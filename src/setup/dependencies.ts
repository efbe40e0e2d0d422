/** The packages that the lock file names, installed when they are missing or the lock file has changed. */
import { createHash } from "node:crypto";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { UserError } from "../errors.ts";
import { exclusively } from "./exclusive.ts";
import { lastWords, run, type Say } from "./run.ts";

/** The repository: the folder of package.json. */
export const ROOT = join(import.meta.dir, "..", "..");

/** Those that scripts need, or all: also what only tests, benches and figures need (five times the size). */
export type Packages = "runtime" | "all";

const stampFile = (root: string) => join(root, "node_modules", ".ingot-installed");

/** What an installation depends on: the lock file, and the system that its native libraries were chosen for. */
function wantedStamp(root: string, packages: Packages): string {
  const lock = createHash("sha256")
    .update(readFileSync(join(root, "bun.lock")))
    .digest("hex");
  return `${process.platform}-${process.arch} ${lock} ${packages}\n`;
}

/**
 * Which packages were installed from the lock file as it is now, for this system; undefined where it has changed since.
 */
export function installedPackages(root = ROOT): Packages | undefined {
  if (!existsSync(stampFile(root))) return undefined;
  const stamp = readFileSync(stampFile(root), "utf8");
  return (["all", "runtime"] as const).find((packages) => stamp === wantedStamp(root, packages));
}

const areCurrent = (root: string, wanted: Packages): boolean => {
  const installed = installedPackages(root);
  return installed === "all" || installed === wanted;
};

/** True where a package is installed that only tests need: then all stay installed. */
function hasDevelopmentPackages(root: string): boolean {
  const { devDependencies = {} } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
  return Object.keys(devDependencies).some((name) => existsSync(join(root, "node_modules", name)));
}

/**
 * Installs packages of the lock file, with the Bun that runs this, unless that has been done. A second process that
 * needs them at the same time waits for the first. Packages for tests that are there are kept. Throws a UserError when
 * they cannot be installed.
 */
export async function installDependencies(say: Say, wanted: Packages, root = ROOT): Promise<void> {
  if (areCurrent(root, wanted)) return;
  const install = async () => {
    if (areCurrent(root, wanted)) return;
    const packages = hasDevelopmentPackages(root) ? "all" : wanted;
    say("installing the packages of bun.lock");
    const started = performance.now();
    const only = packages === "runtime" ? ["--production"] : [];
    const ended = await run([process.execPath, "install", "--frozen-lockfile", ...only], { cwd: root });
    if (ended.code !== 0) {
      throw new UserError(
        `The packages of bun.lock could not be installed:\n    ${lastWords(ended)}`,
        "check the network and the registry that .npmrc names; if package.json changed, run: bun install",
        1,
      );
    }
    writeFileSync(stampFile(root), wantedStamp(root, packages));
    say(`packages installed in ${((performance.now() - started) / 1000).toFixed(1)} s`);
  };
  await exclusively(join(root, ".ingot", "install.lock"), install, () =>
    say("waiting for another process that installs the packages"),
  );
}
