/**
 * Command lines of the demo: scripts joined by pipes, run the way a shell would and printed so that they can be typed
 * again.
 */
import { spawn } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { UserError } from "../errors.ts";
import { launcher } from "../launcher.ts";

const SCRIPTS = fileURLToPath(new URL("../../scripts/", import.meta.url));

export const say = (text: string) => process.stderr.write(`${text}\n`);

/**
 * Runs scripts joined by pipes in a folder; a stage is a script's name and its arguments, none of which holds a space.
 * Gives what the last one wrote. Throws when a stage fails.
 */
export async function runLine(
  stages: readonly string[],
  folder: string,
  { quiet = false } = {},
): Promise<{ seconds: number; text: string }> {
  if (!quiet) say(`$ ${stages.map((stage) => `${launcher()} ${stage}`).join(" \\\n    | ")}`);
  const began = performance.now();
  const running = stages.map((stage, i) => {
    const [script, ...args] = stage.split(" ");
    return spawn(process.execPath, [`${SCRIPTS}${script}.ts`, ...args], {
      cwd: folder,
      stdio: [i === 0 ? "ignore" : "pipe", "pipe", "inherit"],
    });
  });
  for (let i = 1; i < running.length; i++) running[i - 1]!.stdout!.pipe(running[i]!.stdin!);
  const chunks: Uint8Array[] = [];
  running.at(-1)!.stdout!.on("data", (chunk: Uint8Array) => chunks.push(chunk));
  const codes = await Promise.all(running.map((stage) => new Promise<number>((end) => stage.on("close", end))));
  const bad = codes.findIndex((code) => code !== 0);
  if (bad >= 0) throw new UserError(`\`${stages[bad]}\` failed`, "its message is above", 1);
  return { seconds: (performance.now() - began) / 1000, text: Buffer.concat(chunks).toString() };
}

/**
 * Runs a script that `inspect --command` printed, in a folder; `work` has the results of steps that are there already.
 * Throws when it fails.
 */
export async function runPrinted(script: string, folder: string, work: string, out: string): Promise<void> {
  // `bun run` finds scripts in the project's folder only.
  const runs = 'bun() { script=$2; shift 2; "$BUN" "$SCRIPTS$script.ts" "$@" -q; }\n';
  writeFileSync(join(folder, "again.sh"), runs + script);
  say(`$ WORK=${work} sh again.sh ${out}`);
  const env = { ...process.env, BUN: process.execPath, SCRIPTS, WORK: work };
  const child = spawn("sh", ["again.sh", out], { cwd: folder, env, stdio: ["ignore", "ignore", "inherit"] });
  if ((await new Promise<number>((end) => child.on("close", end))) !== 0)
    throw new UserError("the script that inspect printed failed", "its message is above", 1);
}
