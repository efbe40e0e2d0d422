/** What a result must not be written over. */
import { fstatSync, statSync } from "node:fs";
import { UserError } from "../errors.ts";

/** A file or folder by whatever name; undefined for pipes, devices, and what is not there. */
function identityOf(file: string): string | undefined {
  try {
    const stat = file === "-" ? fstatSync(0, { bigint: true }) : statSync(file, { bigint: true });
    return stat.isFile() || stat.isDirectory() ? `${stat.dev}:${stat.ino}` : undefined;
  } catch {
    return undefined; // not there; who reads it says so
  }
}

/** Whether what is at `out` is one of the inputs, by whatever name; "-" is what stdin reads. */
export function isInput(out: string, inputs: Iterable<string>): boolean {
  const target = out === "-" ? undefined : identityOf(out);
  return target !== undefined && [...inputs].some((input) => identityOf(input) === target);
}

/**
 * Throws UserError where the file at `out`, which `flag` names, is one of the inputs, by whatever name; "-" is what
 * stdin reads.
 */
export function refuseInputs(out: string, inputs: Iterable<string>, flag = "--out"): void {
  const target = out === "-" ? undefined : identityOf(out);
  if (target === undefined) return;
  for (const input of inputs)
    if (identityOf(input) === target)
      throw new UserError(
        `${flag}: ${out} is read by this run${input === out ? "" : `, as ${input === "-" ? "stdin" : input}`}`,
        "it would be lost; write to another file",
      );
}
