/** How the lineage of a result names the checkpoints that were read. */
import { type Checkpoint, type LineageEntry, quantizationText } from "../checkpoint.ts";
import { splitAdapter } from "../open.ts";
import { appendLineage, lineageTime, runId } from "./lineage.ts";

/**
 * How an input is named in lineage. One that ingot made is named by the run that made it, so that a result has the same
 * bytes whether its input came through a pipe, from a file or from a folder; any other by what the user wrote and its
 * header.
 */
export function lineageInput(checkpoint: Checkpoint, role: string): LineageEntry["inputs"][number] {
  const made = checkpoint.lineage.at(-1);
  const quantized = checkpoint.quantized && { quantized: quantizationText(checkpoint.quantized) };
  if (made) {
    const adapter = splitAdapter(checkpoint.ref)?.adapter;
    return { ref: `run:${made.run}${adapter === undefined ? "" : `+${adapter}`}`, role, ...quantized };
  }
  const { ref, revision, headerSha256 } = checkpoint;
  return { ref, role, ...(revision === undefined ? {} : { revision }), header_sha256: headerSha256, ...quantized };
}

/** A checkpoint that a step read, and in which role. */
export interface Read {
  readonly checkpoint: Checkpoint;
  /** "model", or the name of the option that took it. */
  readonly role: string;
}

/**
 * The history of a step's result: those of all checkpoints that it read, then the step with its run id and time.
 * `others` are inputs that are not checkpoints, such as data. `warn` hears of a history that is too long. Throws
 * UserError for a step that lineage cannot hold.
 *
 *     const step = { script: "merge", version, method: "ties", options, seed: 0 };
 *     const lineage = lineageOf(step, [{ checkpoint: first, role: "model" }, { checkpoint: base, role: "base" }],
 *       warn);
 */
export function lineageOf(
  step: Omit<LineageEntry, "run" | "time" | "inputs">,
  read: readonly Read[],
  warn: (message: string) => void,
  others: LineageEntry["inputs"] = [],
): LineageEntry[] {
  const inputs = [...others, ...read.map(({ checkpoint, role }) => lineageInput(checkpoint, role))];
  const whole = { ...step, inputs };
  return appendLineage(
    read.map(({ checkpoint }) => checkpoint.lineage),
    { ...whole, run: runId(whole), time: lineageTime() },
    warn,
  );
}
