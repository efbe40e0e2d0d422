/**
 * Rows of what policies of known quality did in a world. An expert takes the best action, and with probability
 * `expert_noise` any action; of vectors it takes (1 - expert_noise) best + expert_noise u. A novice takes any action. u
 * and "any" are uniform. Rows follow each other in streams as long as the horizon, each of one policy; an episode that
 * ends before is followed by another one of the same stream.
 */
import type { Options, Values } from "../../method/options.ts";
import { Random } from "../random.ts";
import { type Row, type Task, type TaskSource, task, type Where } from "../task.ts";
import type { Action, State, World, WorldKind } from "./world.ts";

export const BEHAVIOUR = {
  expert: { type: "0 <= number <= 1", default: 0.5, help: "share of streams in which an expert acts" },
  expert_noise: {
    type: "0 <= number <= 1",
    default: 0.3,
    help: "share of an expert's actions, or of each vector, that is chance",
  },
  quality: {
    type: "'mixed' | 'split'",
    default: "mixed",
    help: "split: no --expert, experts act in the second half of the states, novices in the first",
  },
} as const satisfies Options;

type Behaviour = Values<typeof BEHAVIOUR>;

/** A uniform action. */
export function anyAction({ actions }: World, random: Random): Action {
  if (actions.count !== undefined) return random.below(actions.count);
  const { dims, bound } = actions;
  return Array.from({ length: dims }, () => bound * (2 * random.uniform() - 1));
}

/** What an expert or a novice does, and its probability, or density for vectors. */
export function behaved(world: World, state: State, isExpert: boolean, noise: number, random: Random) {
  const { actions } = world;
  const share = isExpert ? noise : 1;
  const any = anyAction(world, random);
  const best = world.best(state);
  if (actions.count !== undefined) {
    const action = random.uniform() < share ? any : best;
    return { action, probability: share / actions.count + (action === best ? 1 - share : 0) };
  }
  const { dims, bound } = actions;
  const action = (any as readonly number[]).map(
    (u, i) => Math.round(((1 - share) * (best as readonly number[])[i]! + share * u) * 1e6) / 1e6 + 0,
  );
  return { action, probability: share === 0 ? undefined : 1 / (2 * bound * share) ** dims };
}

/** The rows of a stream. */
function stream(world: World, { split, seed }: Where, index: number, values: Behaviour): Row[] {
  const random = new Random(seed, world.name, split, index);
  const isExpert = random.uniform() < values.expert;
  const rows: Row[] = [];
  let state = world.start(random);
  let [episode, step] = [0, 0];
  while (rows.length < world.horizon) {
    const acts = values.quality === "split" ? world.half(state) === 1 : isExpert;
    const { action, probability } = behaved(world, state, acts, values.expert_noise, random);
    const { reward, next, done } = world.step(state, action, random);
    rows.push({
      ...{ state, action, reward, next, done },
      ...(probability === undefined ? {} : { probability }),
      ...{ group: acts ? "expert" : "novice", episode: `${index}.${episode}`, step, value: world.value(state) },
    });
    step++;
    state = next;
    if (!done) continue;
    state = world.start(random);
    episode++;
    step = 0;
  }
  return rows;
}

/** A task that knows its world, for commands that act in it. */
export interface WorldTask<O extends Options = Options> extends Task<O> {
  world(seed: number, values: Values<O>): World;
}

/** Whether a task has a world. */
export const isWorldTask = (one: Task): one is WorldTask => "world" in one;

/** The task that makes rows of a world. */
export function worldTask<const O extends Options>(
  kind: WorldKind<O>,
  told: Pick<Task, "title" | "about" | "cite"> & { readonly trials?: readonly Partial<Values<O & typeof BEHAVIOUR>>[] },
): WorldTask<O & typeof BEHAVIOUR> {
  const open = ({ seed, split }: Where, values: Values<O & typeof BEHAVIOUR>): TaskSource => {
    const world = kind.open(seed, values as Values<O>);
    const behaviour = values as Behaviour;
    let held: { index: number; rows: Row[] } | undefined;
    return {
      rows: Number.POSITIVE_INFINITY,
      facts: { optimum: world.optimum, ...world.facts },
      row(index) {
        const at = Math.floor(index / world.horizon);
        if (held?.index !== at) held = { index: at, rows: stream(world, { seed, split }, at, behaviour) };
        return held.rows[index % world.horizon]!;
      },
    };
  };
  return {
    ...task<O & typeof BEHAVIOUR>({
      name: kind.name,
      ...told,
      splits: "independent streams of the same world",
      options: { ...kind.options, ...BEHAVIOUR },
      laws: {
        apart: "a step may be taken in two splits",
        distinctRows: "a short episode may come twice",
        answered: "a step asks nothing",
        endless: true,
      },
      open,
    }),
    world: (seed, values) => kind.open(seed, values as Values<O>),
  };
}
