/** Rows of a task, and a method of `align control` that learns from them. */
import { cloned } from "../../../src/align/control/cloning.ts";
import type { ControlMethod, Learnt, Training } from "../../../src/align/control/contract.ts";
import type { Policy } from "../../../src/align/control/policy.ts";
import { type Transition, Transitions } from "../../../src/align/control/transitions.ts";
import { Random } from "../../../src/data/random.ts";
import { isWorldTask } from "../../../src/data/worlds/behaviours.ts";
import type { World } from "../../../src/data/worlds/world.ts";
import { bindDefaults } from "../../../src/method/bind.ts";
import { loadMethod } from "../../../src/method/registry.ts";
import { headOf } from "../../../src/run/small-nets/head-of.ts";

export const TRAINING: Training = { steps: 300, batch_size: 64, lr: 3e-3, hidden: [16] };

export interface Bed {
  readonly world: World;
  rows(): Transitions;
}

/** A world and rows of it. */
export async function bed(name: string, size: number, given: Record<string, unknown> = {}): Promise<Bed> {
  const task = await loadMethod("task", name);
  if (!isWorldTask(task)) throw new Error(`${name} has no world`);
  const { values } = bindDefaults(task, given);
  const world = task.world(0, values);
  const source = task.open({ seed: 0, split: "train" }, values);
  const all = Array.from({ length: size }, (_, i) => source.row(i) as unknown as Transition);
  return { world, rows: () => new Transitions(world, headOf(world.actions), all) };
}

export interface Noted {
  readonly step: number;
  readonly told: Readonly<Record<string, number>>;
}

export function learn(
  method: ControlMethod,
  { world, rows }: Bed,
  given: Record<string, unknown> = {},
  training: Partial<Training> = {},
  seed = 0,
): Promise<Learnt & { noted: Noted[] }> {
  const noted: Noted[] = [];
  const { values } = bindDefaults(method, given);
  method.check?.(values);
  const setup = { world, rows: rows(), values, training: { ...TRAINING, ...training }, seed };
  return method
    .learn({ ...setup, tick: async () => {}, note: (step, told) => void noted.push({ step, told }) })
    .then((learnt) => ({ ...learnt, noted }));
}

/** A clone of the rows. */
export const imitated = ({ world, rows }: Bed, training: Partial<Training> = {}, seed = 0): Promise<Policy> =>
  cloned({ world, rows: rows(), training: { ...TRAINING, ...training }, seed, tick: async () => {} });

/** The mean reward of a policy in a bandit, over contexts; arms are drawn so often in each. */
export function armsWorth(world: World, { actor }: Learnt, draws = 400): number {
  const means = world.facts.means as number[][];
  const random = new Random("arms");
  const worth = means.map((own, context) => {
    let sum = 0;
    for (let i = 0; i < draws; i++) sum += own[actor([context], random) as number]!;
    return sum / draws;
  });
  return worth.reduce((sum, x) => sum + x, 0) / worth.length;
}

/** All weights of the tensors whose names begin so. */
export const weightsOf = ({ tensors }: Learnt, prefix: string): number[] =>
  tensors.filter(({ name }) => name.startsWith(prefix)).flatMap(({ values }) => [...values]);
