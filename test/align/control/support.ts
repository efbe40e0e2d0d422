/** Rows of a task, and a method of `align control` that learns from them. */
import { Cloning } from "../../../src/align/control/cloning.ts";
import type { ControlMethod, ControlSetup, Learning, Learnt, Training } from "../../../src/align/control/contract.ts";
import { BEGINNING, follow } from "../../../src/align/control/course.ts";
import type { Networks } from "../../../src/align/control/networks.ts";
import type { Policy } from "../../../src/align/control/policy.ts";
import { type Transition, Transitions } from "../../../src/align/control/transitions.ts";
import { Random } from "../../../src/data/random.ts";
import { isWorldTask } from "../../../src/data/worlds/behaviours.ts";
import type { World } from "../../../src/data/worlds/world.ts";
import { bindDefaults } from "../../../src/method/bind.ts";
import { loadMethod } from "../../../src/method/registry.ts";
import { headOf } from "../../../src/run/small-nets/head-of.ts";
import type { NamedTensor } from "../../../src/run/small-nets/mlp.ts";

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

export type Found = Learnt & { readonly tensors: readonly NamedTensor[]; readonly noted: readonly Noted[] };

/** A run of a method that is about to begin. */
export function begun(
  method: ControlMethod,
  { world, rows }: Bed,
  given: Record<string, unknown> = {},
  training: Partial<Training> = {},
  from?: Networks,
): { learning: Learning; noted: Noted[] } {
  const noted: Noted[] = [];
  const { values } = bindDefaults(method, given);
  method.check?.(values);
  const setup = { world, rows: rows(), values, training: { ...TRAINING, ...training }, seed: 0 };
  const note: ControlSetup["note"] = (step, told) => void noted.push({ step, told });
  return { learning: method.begin({ ...setup, tick: async () => {}, note, ...(from ? { from } : {}) }), noted };
}

/** A run of a method from its beginning to its end. */
export async function learn(...given: Parameters<typeof begun>): Promise<Found> {
  const { learning, noted } = begun(...given);
  await follow(learning, BEGINNING, async () => {});
  return { ...learning.learnt(), tensors: learning.networks(), noted };
}

/** A clone of the rows. */
export async function imitated({ world, rows }: Bed, training: Partial<Training> = {}): Promise<Policy> {
  const setup = { world, rows: rows(), training: { ...TRAINING, ...training }, seed: 0, tick: async () => {} };
  const cloning = new Cloning(setup);
  await follow(cloning, BEGINNING, async () => {});
  return cloning.policy;
}

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
export const weightsOf = ({ tensors }: Pick<Found, "tensors">, prefix: string): number[] =>
  tensors.filter(({ name }) => name.startsWith(prefix)).flatMap(({ values }) => [...values]);
