/** The process that runs scripts for the tests of this one; see server.ts. It is started when it is first needed. */
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ask, isServed, SOCKET } from "./work.ts";

/** What a shell runs in the place of a script: `bun CLIENT PATH/train.ts ARGUMENTS`. */
export const CLIENT = join(import.meta.dir, "client.ts");

export interface Served {
  readonly code: number;
  readonly out: Uint8Array<ArrayBuffer>;
  readonly err: string;
}

class Server {
  readonly folder = mkdtempSync(join(tmpdir(), "ingot-served-"));
  /** It lives as long as the other end of its input. */
  #child: Bun.Subprocess<"pipe", "pipe", "inherit"> | undefined;
  #turn = Promise.resolve("");
  #started = 0;

  get #path(): string {
    return join(this.folder, `socket-${this.#started}`);
  }

  /** The path of its socket, once it listens. */
  socket(): Promise<string> {
    this.#turn = this.#turn.then(async () => {
      // Bun ends processes of tests that took too long.
      if (!existsSync(this.#path) || this.#child?.exitCode !== null || this.#child.signalCode !== null)
        await this.#start();
      return this.#path;
    });
    return this.#turn;
  }

  async #start(): Promise<void> {
    this.#started++;
    const child = Bun.spawn([process.execPath, join(import.meta.dir, "server.ts"), this.#path], {
      env: { ...process.env, BUN_JSC_useDFGJIT: "1" }, // it lives long
      stdin: "pipe",
      stdout: "pipe",
      stderr: "inherit",
    });
    child.unref();
    this.#child = child;
    await child.stdout.getReader().read();
  }
}

// Test files may each get modules of their own; the global object is the process's.
const SHARED = Symbol.for("ingot.test.served");
const store = globalThis as unknown as Record<symbol, Server | undefined>;

function server(): Server {
  store[SHARED] ??= new Server();
  return store[SHARED];
}

/** What a shell needs in its environment for `client.ts` to find the process; nothing for a line that kills. */
export async function servedEnvironment(line = ""): Promise<Record<string, string>> {
  return /\bkill\b/.test(line) ? {} : { [SOCKET]: await server().socket() };
}

let count = 0;

/** Runs a script in that process; undefined where nothing was done: it is busy, or the script is none that it runs. */
export async function served(script: string, argv: readonly string[], cwd: string): Promise<Served | undefined> {
  if (!isServed(script)) return undefined;
  const mine = `${process.pid}-${count++}`;
  const [out, err] = ["out", "err"].map((name) => join(server().folder, `${name}-${mine}`)) as [string, string];
  const answer = await ask(await server().socket(), { script, argv, cwd, env: process.env, out, err });
  if (answer === undefined) throw new Error(`the process that runs scripts ended in ${script} ${argv.join(" ")}`);
  if ("refused" in answer) return undefined;
  const ran = { code: answer.code, out: Uint8Array.from(readFileSync(out)), err: readFileSync(err, "utf8") };
  rmSync(out);
  rmSync(err);
  return ran;
}
