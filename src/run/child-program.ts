/** Another program, such as a script, that runs to its end beside this one. */
import { spawn } from "node:child_process";

export interface Running {
  readonly signal: AbortSignal;
  /** Where its stdout goes: nowhere, or a file that is open. */
  readonly out: "ignore" | number;
  /** Where its stderr goes: to this program's, when left out, or to a file that is open. */
  readonly err?: number;
}

/**
 * Runs it; gives its exit status. An interruption is handed on once, and waits for it to save what it has. Throws what
 * the signal says where that aborts.
 */
export async function runProgram(words: readonly string[], { signal, out, err }: Running): Promise<number | null> {
  const [program = "", ...argv] = words;
  // A group of its own: Ctrl-C reaches it through this process alone, once.
  const child = spawn(program, argv, {
    stdio: ["ignore", out, err ?? "inherit"],
    detached: true,
  });
  const stop = () => child.kill("SIGINT");
  const end = () => child.kill("SIGTERM");
  signal.addEventListener("abort", stop);
  process.on("exit", end);
  try {
    const { promise, resolve, reject } = Promise.withResolvers<number | null>();
    child.on("close", resolve);
    child.on("error", reject);
    const code = await promise;
    signal.throwIfAborted();
    return code;
  } finally {
    signal.removeEventListener("abort", stop);
    process.off("exit", end);
  }
}
