/** The mixtures of an earlier run, from its log: a static schedule that draws the same batches. */
import { readFileSync } from "node:fs";
import { UserError } from "../errors.ts";
import type { Sampler, Segment, TaskLoss } from "./contract.ts";
import { kept } from "./sampler-state.ts";

interface Logged {
  readonly step: number;
  readonly probs: readonly number[];
  readonly weights: readonly number[] | undefined;
  readonly rows: readonly (number | undefined)[] | undefined;
}

export interface Schedule {
  readonly mixtures: readonly Logged[];
  /** Stages in which the schedule of rates began anew. */
  readonly restarts: readonly number[] | undefined;
  /** The loss that its weights were for. */
  readonly taskLoss: TaskLoss | undefined;
  /** The last step in the log. */
  readonly steps: number;
}

/** The step of a line of a log, or their number at its end; 0 for other lines. */
const stepOf = (line: string): number => Number(/^\{"event":"(?:step",|end".*)"steps?":(\d+)[,}]/.exec(line)?.[1] ?? 0);

/** Reads the `mixture` lines of a log. Throws UserError when there are none, or the groups differ. */
export function readSchedule(file: string, names: readonly string[]): Schedule {
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (error) {
    throw new UserError(`--schedule-from ${file} cannot be read: ${(error as Error).message}`);
  }
  const mixtures: Logged[] = [];
  let taskLoss: TaskLoss | undefined;
  let restarts: number[] | undefined;
  let steps = 0;
  for (const [i, line] of text.split("\n").entries()) {
    if (!line.includes('"mixture"')) {
      steps = Math.max(steps, stepOf(line));
      continue;
    }
    let event: {
      event?: string;
      step?: number;
      groups?: string[];
      probs?: number[];
      weights?: number[];
      rows?: (number | null)[];
      restarts?: number[];
      task_loss?: TaskLoss;
    };
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
    // A resumed run logs some steps twice; the later line counts.
    while (mixtures.length > 0 && mixtures.at(-1)!.step >= event.step) mixtures.pop();
    const { probs, weights } = event;
    // JSON has null for undefined.
    const rows = event.rows?.map((count) => count ?? undefined);
    mixtures.push({ step: event.step, probs, weights, rows });
    restarts = event.restarts;
    taskLoss = event.task_loss;
    steps = event.step;
  }
  if (mixtures.length === 0) throw new UserError(`${file} has no mixtures`, "give the --log of a curriculum run");
  return { mixtures, restarts, taskLoss, steps };
}

/** A sampler that hears nothing and repeats the schedule. */
export function replay({ mixtures, restarts }: Schedule): Sampler {
  const memory = { at: 0 };
  return {
    ...kept(memory),
    ...(restarts ? { restarts } : {}),
    segment(): Segment {
      const { probs, weights, rows, step } = mixtures[memory.at]!;
      const next = mixtures[memory.at + 1];
      return {
        probs,
        steps: next ? next.step - step : Number.POSITIVE_INFINITY,
        ...{ ...(weights ? { weights } : {}), ...(rows ? { rows } : {}) },
      };
    },
    update() {
      memory.at = Math.min(memory.at + 1, mixtures.length - 1);
    },
  };
}
