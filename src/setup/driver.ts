/**
 * Makes sure that an adapter answers and computes: with the system's drivers, or with a software driver fetched for
 * it.
 */
import { accessSync, constants, existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { writableCache } from "../cache-folders.ts";
import { UserError } from "../errors.ts";
import { cachedSwiftShader } from "../gpu/swiftshader.ts";
import { type Answer, checkAdapter } from "./check-adapter.ts";
import { canUseApt, chooseDriver, type Machine } from "./choose-driver.ts";
import { exclusively } from "./exclusive.ts";
import { fetchSwiftShader } from "./fetch-swiftshader.ts";
import { findMesa } from "./mesa.ts";
import { lastWords, type Say } from "./run.ts";

/** The fields of /etc/os-release, unquoted. */
export function parseOsRelease(text: string): Map<string, string> {
  const fields = [...text.matchAll(/^([A-Z_]+)=(?:"([^"\n]*)"|'([^'\n]*)'|([^"'\n]*))$/gm)];
  return new Map(fields.map(([, name, double, single, plain]) => [name ?? "", double ?? single ?? plain ?? ""]));
}

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** What this machine is, before its packages are looked up. */
export function thisMachine(osRelease = "/etc/os-release"): Machine {
  const fields = parseOsRelease(existsSync(osRelease) ? readFileSync(osRelease, "utf8") : "");
  return {
    platform: process.platform,
    arch: process.arch,
    root: process.getuid?.() === 0,
    distributions: `${fields.get("ID") ?? ""} ${fields.get("ID_LIKE") ?? ""}`.split(" ").filter(Boolean),
    codename: fields.get("VERSION_CODENAME") || undefined,
    apt: (process.env.PATH ?? "").split(":").some((folder) => isExecutable(join(folder, "apt-get"))),
  };
}

/** One line that names an adapter. */
export const describeAdapter = ({ adapter }: Answer): string =>
  adapter ? `${adapter.description || adapter.device || adapter.vendor} (${adapter.backend}, ${adapter.type})` : "none";

/** An adapter that answers and whose kernel was right. */
const works = (answer: Answer): boolean => answer.adapter !== undefined && answer.error === undefined;

/** SwiftShader was asked for by name and is not there: then whatever else answers is not what is wanted. */
const lacksWantedDriver = (): boolean => process.env.INGOT_DRIVER === "swiftshader" && !cachedSwiftShader();

interface Outcome {
  /** What was tried without success, for the case that no adapter answers in the end. */
  readonly failures: readonly string[];
  readonly advice?: string | undefined;
}

/** Mesa with apt, where it can be had. Returns whether an adapter answers now, and if not, why. */
async function tryMesa(machine: Machine, say: Say): Promise<{ done: boolean; failure: string | undefined }> {
  if (!canUseApt(machine)) return { done: false, failure: undefined };
  say("looking for Mesa's software Vulkan driver with apt");
  using mesa = await findMesa(machine.codename);
  const choice = chooseDriver({ ...machine, aptCandidate: mesa.aptCandidate, backports: mesa.backports });
  if (choice.route !== "mesa") {
    return { done: false, failure: `${choice.why}${mesa.problem ? `:\n    ${mesa.problem}` : ""}` };
  }
  say(
    `installing Mesa ${choice.version} and the Vulkan loader with apt${choice.release ? `, from ${choice.release}` : ""}`,
  );
  const ended = await mesa.install(choice.release);
  if (ended.code !== 0) return { done: false, failure: `apt could not install Mesa:\n    ${lastWords(ended)}` };
  const answer = await checkAdapter();
  return { done: works(answer), failure: `Mesa ${choice.version} was installed and gave no adapter: ${answer.error}` };
}

/** Adds a software driver: Mesa where packages can be installed, else SwiftShader where it runs. */
async function addDriver(say: Say): Promise<Outcome> {
  const machine = thisMachine();
  const failures: string[] = [];
  if (process.env.INGOT_DRIVER !== "swiftshader") {
    const { done, failure } = await tryMesa(machine, say);
    if (done) return { failures };
    if (failure) {
      say(failure.split(":\n")[0] ?? failure);
      failures.push(failure);
    }
  }
  // What is left is what a machine can do without installing packages.
  const choice = chooseDriver({ ...machine, apt: false });
  if (choice.route === "none") return { failures: [...failures, choice.why], advice: choice.advice };
  try {
    say("fetching SwiftShader, a software Vulkan driver, from the package registry");
    say(`SwiftShader is in ${await fetchSwiftShader()}`);
    return { failures };
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    return { failures: [...failures, error.message], advice: error.hint };
  }
}

/**
 * Returns the adapter that ingot computes with, after its numbers were checked, having added a software driver if no
 * adapter was there. Throws a UserError that names everything missing when there is none in the end.
 */
export async function ensureAdapter(say: Say): Promise<Answer> {
  const first = await checkAdapter();
  if (works(first) && !lacksWantedDriver()) return first;
  if (first.adapter && first.error) {
    // Adding another driver does not repair one that computes wrong numbers.
    throw new UserError(`The adapter computes wrongly: ${first.error}`, "update its driver; see: bun run doctor", 1);
  }
  say(`no adapter yet: ${first.error ?? "SwiftShader was asked for and is not there"}`);

  let outcome: Outcome = { failures: [] };
  const add = async () => {
    const now = await checkAdapter();
    if (!works(now) || lacksWantedDriver()) outcome = await addDriver(say);
  };
  const folder = writableCache();
  const waiting = () => say("waiting for another process that installs a driver");
  await (folder ? exclusively(join(folder, "driver.lock"), add, waiting) : add());

  const last = await checkAdapter();
  if (works(last)) return last;
  const reasons = [...outcome.failures, last.error ?? "no adapter answered"]
    .map((reason) => `\n  - ${reason}`)
    .join("");
  throw new UserError(
    `No GPU and no software Vulkan driver can be used:${reasons}`,
    outcome.advice ?? last.hint ?? "bun run doctor says what this machine has",
    1,
  );
}
