/** Runs one stage in a process of its own. */
import { closeSync, openSync, renameSync } from "node:fs";
import { join } from "node:path";
import { UserError } from "../../errors.ts";
import { runProgram } from "../../run/child-program.ts";
import { quote } from "../../text/quote.ts";
import type { PlannedStage } from "./plan.ts";

export interface Running {
  readonly quiet: boolean;
  readonly signal: AbortSignal;
  /** A stage that was stopped goes on from what it saved. */
  readonly isResumed: boolean;
  scriptFile(name: string): string;
}

/** The program and its arguments, with the places of its results. */
export function commandOf(stage: PlannedStage, { quiet, isResumed, scriptFile }: Running): string[] {
  const { words, by, folder, makes, understood, isPrinted } = stage;
  if (by === "program") return [...words];
  const { values } = understood!;
  const out = isPrinted ? [] : ["-o", join(folder, makes)];
  const log = values.log === undefined ? ["--log", join(folder, "log.jsonl")] : [];
  const resume = isResumed && values.resume === false ? ["--resume"] : [];
  return [
    process.execPath,
    scriptFile(words[0]!),
    ...words.slice(1),
    ...out,
    ...log,
    ...resume,
    ...(quiet ? ["-q"] : []),
  ];
}

/**
 * Runs it to its end. Its stdout goes to a file where that is its result. An interruption is handed on once, and waits
 * for the stage to save. Throws UserError where it fails.
 */
export async function runStage(stage: PlannedStage, running: Running): Promise<void> {
  const { name, words, folder, makes, isPrinted } = stage;
  const file = join(folder, makes);
  const out = isPrinted ? openSync(`${file}.new`, "w") : "ignore";
  try {
    const code = await runProgram(commandOf(stage, running), { signal: running.signal, out });
    if (code !== 0)
      throw new UserError(
        `stage ${name} failed: ${words.map(quote).join(" ")}`,
        "its message is above; run the plan again to go on",
        1,
      );
    if (isPrinted) renameSync(`${file}.new`, file);
  } finally {
    if (typeof out === "number") closeSync(out);
  }
}
