/**
 * Installing Mesa's software Vulkan driver (lavapipe) with apt, on Debian and Ubuntu as root.
 *
 * Package lists, sources and downloads live in a temporary folder, so that nothing but the packages themselves is added
 * to the machine: a release whose own Mesa is too old gets its backports for this one installation.
 */
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { offeredBy, parsePolicy } from "./apt-policy.ts";
import { type AptSource, backportsStanza, parseSources } from "./apt-sources.ts";
import { type Ended, run } from "./run.ts";

const DRIVERS = "mesa-vulkan-drivers";
const PACKAGES = [DRIVERS, "libvulkan1"];
/** The locale decides the words of apt-cache; the frontend keeps debconf from asking. */
const ENVIRONMENT = { LC_ALL: "C", DEBIAN_FRONTEND: "noninteractive" };
/** Long enough for another apt-get to finish, short enough to say so while somebody watches. */
const LOCK_SECONDS = 300;

export interface Mesa {
  /** What apt would install by itself, and what the backports of the release have. */
  readonly aptCandidate: string | undefined;
  readonly backports: string | undefined;
  /** Why the package lists could not all be fetched, in apt's words. */
  readonly problem: string | undefined;
  /** Installs the drivers and the loader, preferring a suite when one is named. */
  install(release: string | undefined): Promise<Ended>;
  [Symbol.dispose](): void;
}

function sourceFiles(etc: string): string[] {
  const parts = join(etc, "sources.list.d");
  const names = existsSync(parts) ? readdirSync(parts).filter((name) => /\.(list|sources)$/.test(name)) : [];
  return [join(etc, "sources.list"), ...names.map((name) => join(parts, name))].filter((file) => existsSync(file));
}

/** Every source that the machine's apt is set up with. */
export const machineSources = (etc = "/etc/apt"): AptSource[] =>
  sourceFiles(etc).flatMap((file) => parseSources(file, readFileSync(file, "utf8")));

/** Looks up which Mesa can be had, in package lists fetched for this purpose. Dispose to remove them again. */
export async function findMesa(codename: string | undefined, etc = "/etc/apt"): Promise<Mesa> {
  const folder = mkdtempSync(join(tmpdir(), "ingot-apt-"));
  // apt changes to another user to download.
  chmodSync(folder, 0o755);
  const sources = join(folder, "sources");
  for (const made of [sources, join(folder, "lists", "partial"), join(folder, "cache", "archives", "partial")]) {
    mkdirSync(made, { recursive: true });
  }
  for (const [index, file] of sourceFiles(etc).entries()) {
    copyFileSync(file, join(sources, `${index}${file.endsWith(".sources") ? ".sources" : ".list"}`));
  }
  const stanza = codename === undefined ? undefined : backportsStanza(machineSources(etc), codename);
  if (stanza) writeFileSync(join(sources, "backports.sources"), stanza);

  const settings = [
    `Dir::Etc::sourcelist=/dev/null`,
    `Dir::Etc::sourceparts=${sources}`,
    `Dir::State::lists=${join(folder, "lists")}`,
    `Dir::Cache=${join(folder, "cache")}`,
    // Only what is asked here is fetched: no translations, no lists for other programs.
    "Acquire::Languages=none",
    "Acquire::Retries=2",
    "Acquire::http::Timeout=30",
    `DPkg::Lock::Timeout=${LOCK_SECONDS}`,
  ].flatMap((setting) => ["-o", setting]);
  const apt = (program: string, ...rest: string[]) => run([program, ...settings, ...rest], { env: ENVIRONMENT });

  // A source that does not answer is no reason to stop: what the others offer decides.
  const update = await apt("apt-get", "update", "-q");
  const policy = parsePolicy((await apt("apt-cache", "policy", DRIVERS)).stdout).get(DRIVERS);
  return {
    aptCandidate: policy?.candidate,
    backports: codename === undefined ? undefined : offeredBy(policy, `${codename}-backports`),
    problem: /^(E:.*|W: Failed to fetch.*)/m.exec(update.stderr)?.[1],
    install: (release) =>
      apt(
        "apt-get",
        "install",
        "-y",
        "-q",
        "--no-install-recommends",
        ...(release ? ["-t", release] : []),
        ...PACKAGES,
      ),
    [Symbol.dispose]: () => rmSync(folder, { recursive: true, force: true }),
  };
}
