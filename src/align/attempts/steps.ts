/**
 * Pairs of how a solution goes on from a step: where its chance of success is lost. Setlur et al. 2024,
 * https://arxiv.org/abs/2406.14532
 *
 * The chance after each step of a wrong solution is the share of right continuations. The critical step is the first
 * one after which it is at the pit; from before it a continuation that came out right is the chosen answer, and what
 * the solution said instead is the rejected one. Both go on to their end, so that both end as answers do.
 */
import type { JsonObject } from "../../json.ts";
import { type Attempt, type Begun, successOf, type Trying, unbegun } from "./attempts.ts";
import type { Task } from "./tasks.ts";

export interface StepsSetup {
  readonly solutions: number;
  readonly continuations: number;
  /** Share of right continuations at which a solution is lost. */
  readonly pit: number;
  readonly decode: (ids: readonly number[]) => string;
}

/** A row for --method dpo, and where it comes from. */
export interface StepPair extends JsonObject {
  readonly prompt: string;
  readonly chosen: string;
  readonly rejected: string;
  /** Number of the critical step, from 1. */
  readonly step: number;
  /** Shares of right continuations before the first step and after each one, up to that. */
  readonly chances: number[];
}

export interface StepPairs {
  readonly pairs: readonly StepPair[];
  readonly told: {
    readonly solutions: number;
    readonly wrong: number;
    readonly hopeless: number;
    readonly step: number;
  };
}

/** Numbers of tokens after which a line of an answer ends that is not blank; its own end is none. */
export function stepsOf({ ids, text: whole }: Pick<Attempt, "ids" | "text">, decode: StepsSetup["decode"]): number[] {
  const ends: number[] = [];
  let before = 0;
  for (let n = 1; n < ids.length; n++) {
    const text = decode(ids.slice(0, n));
    if (!text.endsWith("\n") || !whole.startsWith(text) || text.slice(before).trim() === "") continue;
    if (text.length < whole.length) ends.push(n);
    before = text.length;
  }
  return ends;
}

/** A wrong solution on the way to its critical step. */
interface Lost {
  readonly task: Task;
  readonly key: string;
  readonly solution: Attempt;
  readonly ends: readonly number[];
  /** Chances before the first step and after each one that was tried. */
  readonly chances: number[];
  /** Where continuations of the last step that was not lost begin. */
  from: number;
  /** One of them that was right. */
  chosen: Attempt;
}

/** Samples solutions and continuations; rows of prompt, chosen and rejected, in the order of tasks. */
export async function stepPairs(tasks: readonly Task[], trying: Trying, setup: StepsSetup): Promise<StepPairs> {
  const { solutions: count, continuations, pit, decode } = setup;
  const solutions = await trying.of(unbegun(tasks), count);
  const lost = tasks.flatMap((task, i) => {
    const all = solutions[i]!;
    const right = all.filter(({ isRight }) => isRight);
    const chance = successOf(all);
    if (right.length === 0 || chance <= pit) return [];
    const texts = all.map(({ ids }) => ids.join());
    return all.flatMap((solution, n): Lost[] => {
      if (solution.isRight || texts.indexOf(texts[n]!) !== n) return [];
      const ends = stepsOf(solution, decode);
      const chances = ends.length === 0 ? [chance, 0] : [chance];
      return [{ task, key: `${i} ${n}`, solution, ends, chances, from: 0, chosen: right[n % right.length]! }];
    });
  });
  for (let step = 0, alive = lost; alive.length > 0; step++) {
    const next = alive.filter(({ ends }) => step < ends.length);
    const begun = next.map(({ task, key, solution, ends }): Begun => {
      const ids = solution.ids.slice(0, ends[step]);
      return { task, key: `${key} ${step}`, ids, text: decode(ids) };
    });
    const tried = await trying.of(begun, continuations);
    alive = next.filter((own, i) => {
      const chance = successOf(tried[i]!);
      own.chances.push(chance);
      const chosen = tried[i]!.find(({ isRight }) => isRight);
      if (chance <= pit || !chosen) return false;
      [own.from, own.chosen] = [own.ends[step]!, chosen];
      return true;
    });
    // A whole wrong solution has no chance.
    for (const own of next) if (alive.includes(own) && own.ends.length === step + 1) own.chances.push(0);
  }
  const pairs = lost.map(({ task, solution, from, chosen, chances }): StepPair => {
    const before = decode(solution.ids.slice(0, from));
    return {
      prompt: task.text + before,
      chosen: chosen.text,
      rejected: solution.text.slice(before.length),
      step: chances.length - 1,
      chances,
    };
  });
  const all = solutions.flat();
  return {
    pairs: pairs.filter(({ chosen, rejected }) => chosen !== rejected),
    told: {
      solutions: all.length,
      wrong: all.filter(({ isRight }) => !isRight).length,
      hopeless: solutions.filter((own) => successOf(own) <= pit).length,
      step: pairs.reduce((sum, { step }) => sum + step, 0) / Math.max(1, pairs.length),
    },
  };
}
