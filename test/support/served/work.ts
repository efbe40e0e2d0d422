/** What is asked of the process that runs scripts, and what it answers: a line of JSON each, through a socket. */

import { readFileSync } from "node:fs";
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";

/** A command to run. What it prints goes to two files; a pipe's path is good as well. */
export interface Work {
  readonly script: string;
  readonly argv: readonly string[];
  readonly cwd: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly out: string;
  readonly err: string;
  /** Who asks, if it is not the one that started the process: its mounts and limits must be the same. */
  readonly pid?: number;
}

/** Its exit code, or that nothing was done: another command runs, or who asks has other mounts or limits. */
export type Answer = { readonly code: number } | { readonly refused: true };

const SCRIPTS = fileURLToPath(new URL("../../../scripts/", import.meta.url));

/** Whether a file is one of this project's scripts that keep to the frame of scripts, whose output can be led away. */
export const isServed = (script: string): boolean =>
  (dirname(script) === dirname(`${SCRIPTS}x`) && readFileSync(script, "utf8").includes("cli/script.ts")) ||
  script === `${SCRIPTS}ingot.ts`;

/** The variable that tells commands of a shell where the socket is. */
export const SOCKET = "INGOT_TEST_SERVED";

/** Asks; undefined where nobody listens or the process ended without an answer. */
export function ask(path: string, work: Work): Promise<Answer | undefined> {
  const { promise, resolve } = Promise.withResolvers<Answer | undefined>();
  let text = "";
  Bun.connect({
    unix: path,
    socket: {
      open: (socket) => void socket.write(`${JSON.stringify(work)}\n`),
      data(socket, bytes) {
        text += bytes.toString();
        if (!text.endsWith("\n")) return;
        resolve(JSON.parse(text));
        socket.end();
      },
      close: () => resolve(undefined),
      error: () => resolve(undefined),
    },
  }).catch(() => resolve(undefined));
  return promise;
}
