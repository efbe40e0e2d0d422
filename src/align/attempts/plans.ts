/** Lets a model plan errands whose workers are scripted: it speaks, a worker answers, and so on until it ends. */
import type { Message } from "../../data/rows.ts";
import { type Errand, reply } from "../../data/worlds/errands.ts";
import type { Rollouts } from "../../run/generating/rollouts.ts";

export interface PlanTask {
  readonly errand: Errand;
  /** What the planner is asked. */
  readonly asked: readonly Message[];
  readonly place: string;
}

/** How the planner went about a task. */
export interface Trajectory {
  /** What followed the question. */
  readonly messages: readonly Message[];
  readonly isRight: boolean;
}

export interface PlanSetup {
  readonly rollouts: Pick<Rollouts, "sample">;
  /** Tokens of a conversation that the planner is to go on with. */
  readonly encode: (messages: readonly Message[], place: string) => readonly number[];
  readonly ends: readonly number[];
  /** Positions of the model. */
  readonly positions: number;
  readonly temperature: number;
  /** Most tokens of a message. */
  readonly maxTokens: number;
  /** Most messages of the planner. */
  readonly turns: number;
  readonly rows: number;
  readonly seed: number;
  readonly signal: AbortSignal;
}

/** `count` trajectories of each task. One that says too much, or does not end, is lost. */
export async function plans(tasks: readonly PlanTask[], count: number, setup: PlanSetup): Promise<Trajectory[][]> {
  const { rollouts, encode, ends, positions, temperature, maxTokens, turns, rows, seed, signal } = setup;
  const all = tasks.flatMap((task, t) =>
    Array.from({ length: count }, (_, i) => ({ task, key: `${t}.${i}`, messages: [] as Message[], isRight: false })),
  );
  let open = all;
  for (let turn = 0; turn < turns && open.length > 0; turn++) {
    const asked = open.map(({ task, messages, key }) => ({
      ids: encode([...task.asked, ...messages], task.place),
      key: `${key} turn ${turn}`,
      name: task.place,
    }));
    const fit = [...open.keys()].filter((i) => asked[i]!.ids.length + maxTokens <= positions);
    const said = await rollouts.sample(
      fit.map((i) => asked[i]!),
      { group: 1, temperature, maxTokens, ends, stops: [], seed, rows, signal },
    );
    open = fit.flatMap((i, at) => {
      const own = open[i]!;
      const { text, truncated } = said[at]!;
      own.messages.push({ role: "assistant", content: text });
      if (truncated) return [];
      const heard = reply(own.task.errand, text);
      if ("isRight" in heard) own.isRight = heard.isRight;
      else own.messages.push({ role: "tool", content: heard.says });
      return "isRight" in heard ? [] : [own];
    });
  }
  return tasks.map((_, t) =>
    all.slice(t * count, (t + 1) * count).map(({ messages, isRight }) => ({ messages, isRight })),
  );
}

/**
 * A right and a wrong way of a task, the first of each, as a row of preferences; undefined where there are not both.
 */
export function pairOfPlans({ asked }: PlanTask, ways: readonly Trajectory[]) {
  const [right, wrong] = [ways.find((own) => own.isRight), ways.find((own) => !own.isRight)];
  return right && wrong && { prompt: asked, chosen: right.messages, rejected: wrong.messages };
}

/** The different right ways of a task, as rows of conversations. */
export function rightPlans({ asked }: PlanTask, ways: readonly Trajectory[]) {
  const right = ways.filter((own) => own.isRight).map(({ messages }) => ({ messages: [...asked, ...messages] }));
  return [...new Map(right.map((row) => [JSON.stringify(row), row])).values()];
}
