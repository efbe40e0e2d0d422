/** Losses of an earlier run, from its log. */
import { readFileSync } from "node:fs";
import { UserError } from "../errors.ts";
import { isObject, type Json } from "../json.ts";

/** A step, from 1, and the loss there. */
export type LossPoint = readonly [step: number, loss: number];

export interface LossLog {
  /** What was measured: held-out loss where the run evaluated at least `LEAST` times, else the loss of its steps. */
  readonly of: "held-out loss" | "training loss";
  readonly points: readonly LossPoint[];
}

/** Points that a law is fitted to. */
const LEAST = 3;

/**
 * Reads the --log of a run that trained. A resumed run logs some steps twice; the later line counts. Throws UserError
 * when the file cannot be read or has too few losses.
 */
export function readLosses(file: string): LossLog {
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (error) {
    throw new UserError(`--fit ${file} cannot be read: ${(error as Error).message}`);
  }
  const [held, trained] = [new Map<number, number>(), new Map<number, number>()];
  for (const [i, line] of text.split("\n").entries()) {
    if (!/"event":"(step|eval)"/.test(line)) continue;
    let event: Json;
    try {
      event = JSON.parse(line);
    } catch {
      throw new UserError(`${file}, line ${i + 1} is not JSON`, "give the --log of a run that trained");
    }
    if (!isObject(event) || typeof event.step !== "number" || event.step < 1) continue;
    if (event.event === "step" && typeof event.loss === "number") trained.set(event.step, event.loss);
    const isMean = event.event === "eval" && event.name === "loss" && event.group === undefined;
    if (isMean && typeof event.value === "number") held.set(event.step, event.value);
  }
  const isHeld = held.size >= LEAST;
  const points = [...(isHeld ? held : trained)].sort(([a], [b]) => a - b);
  if (points.length < LEAST)
    throw new UserError(
      `${file} has ${points.length} losses, and a law is fitted to ${LEAST} or more`,
      "give the --log of a longer run",
    );
  return { of: isHeld ? "held-out loss" : "training loss", points };
}
