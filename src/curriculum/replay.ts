/** The mixtures of an earlier run, from its log: a static schedule that draws the same batches. */
import { readFileSync } from "node:fs";
import { UserError } from "../errors.ts";
import type { Sampler, Segment } from "./method.ts";

interface Logged {
  readonly step: number;
  readonly probs: readonly number[];
  readonly weights: readonly number[] | undefined;
}

/** Reads the `mixture` lines of a log. Throws UserError when there are none, or the groups differ. */
export function readSchedule(file: string, names: readonly string[]): Logged[] {
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (error) {
    throw new UserError(`--schedule-from ${file} cannot be read: ${(error as Error).message}`);
  }
  const found: Logged[] = [];
  for (const [i, line] of text.split("\n").entries()) {
    if (!line.includes('"mixture"')) continue;
    let event: { event?: string; step?: number; groups?: string[]; probs?: number[]; weights?: number[] };
    try {
      event = JSON.parse(line);
    } catch {
      throw new UserError(`${file}, line ${i + 1} is not JSON`, "give the --log of a curriculum run");
    }
    if (event.event !== "mixture" || event.step === undefined || !event.probs) continue;
    if (event.groups?.join() !== names.join())
      throw new UserError(
        `${file}, line ${i + 1}: the groups were ${event.groups?.join(", ")}, now they are ${names.join(", ")}`,
        "give the same groups in the same order",
      );
    // A run that was resumed says some steps twice; the later word counts.
    while (found.length > 0 && found.at(-1)!.step >= event.step) found.pop();
    found.push({ step: event.step, probs: event.probs, weights: event.weights });
  }
  if (found.length === 0) throw new UserError(`${file} has no mixtures`, "give the --log of a curriculum run");
  return found;
}

/** A sampler that hears nothing and repeats the schedule. */
export function replay(schedule: readonly Logged[]): Sampler {
  let at = 0;
  return {
    segment(): Segment {
      const { probs, weights, step } = schedule[at]!;
      const next = schedule[at + 1];
      return { probs, steps: next ? next.step - step : Number.POSITIVE_INFINITY, ...(weights ? { weights } : {}) };
    },
    update: () => {
      at = Math.min(at + 1, schedule.length - 1);
    },
    state: () => at,
    load: (state) => {
      at = state as number;
    },
  };
}
