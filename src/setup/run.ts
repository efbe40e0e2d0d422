/** Running other programs for set-up, and saying what it does. Nothing here imports a package. */

export interface Ended {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/**
 * Runs a program to its end with no input and keeps what it printed. `code` is 128 + n when signal n ended it, as in a
 * shell, and 127 when the program could not be started. `timeout` in milliseconds.
 */
export async function run(
  command: readonly string[],
  options: { cwd?: string; env?: Record<string, string | undefined>; timeout?: number } = {},
): Promise<Ended> {
  try {
    const child = Bun.spawn([...command], {
      ...(options.cwd ? { cwd: options.cwd } : {}),
      env: { ...process.env, ...options.env },
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
      ...(options.timeout ? { timeout: options.timeout, killSignal: "SIGKILL" as const } : {}),
    });
    const [stdout, stderr, code] = await Promise.all([
      new Response(child.stdout).text(),
      new Response(child.stderr).text(),
      child.exited,
    ]);
    return { code, stdout, stderr };
  } catch (error) {
    return { code: 127, stdout: "", stderr: error instanceof Error ? error.message : String(error) };
  }
}

/** Why a program failed, in its own words: the last lines that it marks as errors, or else simply the last. */
export function lastWords(ended: Ended, lines = 4): string {
  const text = `${ended.stdout}\n${ended.stderr}`.split("\n").filter((line) => line.trim() !== "");
  const errors = text.filter((line) => /^\s*(error|E:|W:)/.test(line));
  return (errors.length > 0 ? errors : text).slice(-lines).join("\n    ") || `ended with code ${ended.code}`;
}

export type Say = (line: string) => void;

/** One line on stderr: stdout may carry a checkpoint. */
export const say: Say = (line) => {
  process.stderr.write(`set-up: ${line}\n`);
};
