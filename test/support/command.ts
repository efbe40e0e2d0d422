/** Runs scripts as a user does: a process with arguments, its output and its exit code. */
import { fileURLToPath } from "node:url";
import { CLIENT, served, servedEnvironment } from "./served/served.ts";

const SCRIPTS = fileURLToPath(new URL("../../scripts/", import.meta.url));

export interface Ran {
  readonly code: number;
  readonly out: Uint8Array<ArrayBuffer>;
  readonly text: string;
  readonly err: string;
}

type Environment = Readonly<Record<string, string>>;

/** Starts a script in a folder; `env` is added to the environment. */
export const startScript = (name: string, argv: readonly string[], cwd: string, env: Environment = {}) =>
  Bun.spawn([process.execPath, `${SCRIPTS}${name}.ts`, ...argv], {
    cwd,
    env: { ...process.env, ...env },
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });

async function ended(child: ReturnType<typeof startScript>): Promise<Ran> {
  const [out, err, code] = await Promise.all([
    new Response(child.stdout).bytes(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  return { code, out: out as Uint8Array<ArrayBuffer>, text: new TextDecoder().decode(out), err };
}

/** Runs a script to its end, in a process of its own. */
export const runAlone = (name: string, argv: readonly string[], cwd: string, env?: Environment): Promise<Ran> =>
  ended(startScript(name, argv, cwd, env));

/**
 * Runs a script to its end, in the process that runs scripts for tests where that is free; in one of its own where it
 * is given an environment, which may hold what counts when a process starts.
 */
export async function runScript(name: string, argv: readonly string[], cwd: string, env?: Environment): Promise<Ran> {
  const ran = env ? undefined : await served(`${SCRIPTS}${name}.ts`, argv, cwd);
  return ran ? { ...ran, text: new TextDecoder().decode(ran.out) } : runAlone(name, argv, cwd, env);
}

/** Runs a line of bash in which $TRAIN, $EVALUATE and so on are the scripts. */
export async function runShell(line: string, cwd: string): Promise<Ran> {
  const names = [
    "merge",
    "adapt",
    "train",
    "distill",
    "unlearn",
    "compress",
    "curriculum",
    "evaluate",
    "sample",
    "data",
    "inspect",
    "report",
  ];
  const scripts = Object.fromEntries(
    names.map((name) => [name.toUpperCase(), `${process.execPath} ${CLIENT} ${SCRIPTS}${name}.ts`]),
  );
  const child = Bun.spawn(["bash", "-c", line], {
    cwd,
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
    env: { ...process.env, ...scripts, ...(await servedEnvironment(line)) },
  });
  return ended(child);
}
