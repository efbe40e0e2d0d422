/**
 * Pairs of how a solution goes on from a step: where its chance of success is lost. Setlur et al. 2024,
 * https://arxiv.org/abs/2406.14532
 *
 * The chance after each step of a wrong solution is the share of right continuations. The critical step is the first
 * one after which it is at the pit; from before it a continuation that came out right is the chosen answer, and what
 * the solution said instead is the rejected one. Both go on to their end, so that both end as answers do. Steps of
 * right solutions may be chosen over ways on that come out wrong.
 *
 * The same chances tell a process reward model which steps are right: Wang et al. 2024,
 * https://arxiv.org/abs/2312.08935
 */
import { Random } from "../../data/random.ts";
import type { JsonObject } from "../../json.ts";
import { type Attempt, type Begun, successOf, type Trying, unbegun } from "./attempts.ts";
import type { Task } from "./tasks.ts";

type Decode = (ids: readonly number[]) => string;

export interface StepsSetup {
  readonly solutions: number;
  readonly continuations: number;
  /** Share of right continuations at which a solution is lost. */
  readonly pit: number;
  /** Steps of right solutions to each prompt that become pairs, too. */
  readonly right: number;
  readonly seed: number;
  readonly decode: Decode;
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

/** A solution for --method reward-process: its steps, and whether each leaves a chance. */
export interface StepRow extends JsonObject {
  readonly prompt: string;
  readonly completions: string[];
  readonly labels: boolean[];
}

export interface StepPairs {
  readonly pairs: readonly StepPair[];
  /** Of the pairs, those of steps of right solutions. */
  readonly kept: number;
  /** Every different solution. */
  readonly rows: readonly StepRow[];
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

/** Whether a solution of a prompt was said before. */
const isAgain = (all: readonly Attempt[], n: number): boolean =>
  all.findIndex(({ ids }) => ids.join() === all[n]!.ids.join()) !== n;

/**
 * Pairs from steps of right solutions, so that they stay likely: from before a step that is drawn by seed, how the
 * solution goes on is chosen, and a way on that came out wrong is rejected. None where all ways on come out right.
 */
async function rightPairs(
  tasks: readonly Task[],
  solutions: readonly (readonly Attempt[])[],
  trying: Trying,
  { continuations, right, seed, decode }: StepsSetup,
): Promise<StepPair[]> {
  const drawn = tasks.flatMap((task, i) => {
    const all = solutions[i]!;
    const places = all.flatMap((solution, n) =>
      solution.isRight && !isAgain(all, n)
        ? [0, ...stepsOf(solution, decode)].map((from, step) => ({ solution, n, from, step }))
        : [],
    );
    const own = new Random(seed, "steps of right solutions", i).shuffled(places).slice(0, right);
    return own.map((place) => {
      return { task, ...place, before: decode(place.solution.ids.slice(0, place.from)), key: `${i} ${place.n}` };
    });
  });
  const tried = await trying.of(
    drawn.map(({ task, solution, from, before, step, key }): Begun => {
      return { task, key: `right ${key} ${step}`, ids: solution.ids.slice(0, from), text: before };
    }),
    continuations,
  );
  return drawn.flatMap(({ task, solution, step, before }, i): StepPair[] => {
    const wrong = tried[i]!.find(({ isRight }) => !isRight);
    if (!wrong) return [];
    const [chosen, chances] = [solution.text.slice(before.length), [successOf(tried[i]!)]];
    return [{ prompt: task.text + before, chosen, rejected: wrong.text, step: step + 1, chances }];
  });
}

/** A solution as its steps: those from the first that was lost on leave no chance, and a right solution lost none. */
function stepRow({ text: prompt }: Task, solution: Attempt, lost: number | undefined, decode: Decode): StepRow {
  const cuts = stepsOf(solution, decode).map((end) => decode(solution.ids.slice(0, end)).length);
  const texts = [0, ...cuts].map((from, step) => solution.text.slice(from, cuts[step]).trimEnd());
  const completions = texts.filter((text) => text !== "");
  return { prompt, completions, labels: completions.map((_, step) => lost === undefined || step + 1 < lost) };
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
    return all.flatMap((solution, n): Lost[] => {
      if (solution.isRight || isAgain(all, n)) return [];
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
  const kept = setup.right > 0 ? await rightPairs(tasks, solutions, trying, setup) : [];
  const steps = new Map(lost.map(({ solution, chances }) => [solution, chances.length - 1]));
  const rows = tasks.flatMap((task, i) => {
    const own = solutions[i]!;
    // Of a prompt without hope every step is lost.
    const lostAt = (solution: Attempt) => (solution.isRight ? undefined : (steps.get(solution) ?? 1));
    return own.flatMap((solution, n) => {
      const isText = solution.text.trim() !== "";
      return isText && !isAgain(own, n) ? [stepRow(task, solution, lostAt(solution), decode)] : [];
    });
  });
  return {
    pairs: [...pairs, ...kept].filter(({ chosen, rejected }) => chosen !== rejected),
    kept: kept.length,
    rows,
    told: {
      solutions: all.length,
      wrong: all.filter(({ isRight }) => !isRight).length,
      hopeless: solutions.filter((own) => successOf(own) <= pit).length,
      step: pairs.reduce((sum, { step }) => sum + step, 0) / Math.max(1, pairs.length),
    },
  };
}
