/** Which tensors of a merge share coefficients, and where these stand before the first step. */
import { UserError } from "../../errors.ts";
import { isAfterStack, layerOf } from "../../model/names.ts";
import type { ValuedTask } from "../job/task.ts";
import type { Granularity } from "./contract.ts";

/** Tensors with one coefficient for each model. */
export interface Group {
  /** `all`, a block (`model.layers.3`), a module outside of the blocks (`model.norm`), or a tensor. */
  readonly name: string;
  readonly tasks: readonly ValuedTask[];
  /** (models) */
  readonly start: readonly number[];
}

export interface Grouping {
  readonly granularity: Granularity;
  readonly fromDepth: number;
  /** The option that holds the coefficients. */
  readonly option: string;
  readonly columns: Columns;
}

/** The models whose task vectors count, in order: the base, which a plan counts too, is none of them. */
export class Columns {
  readonly #places: ReadonlyMap<number, number>;
  /** Their numbers in the plan. */
  readonly indices: readonly number[];

  constructor(tasks: readonly ValuedTask[]) {
    const found = new Set(tasks.filter(isMerged).flatMap(({ modelIndex }) => modelIndex));
    this.indices = [...found].sort((a, b) => a - b);
    this.#places = new Map(this.indices.map((index, place) => [index, place]));
  }

  get count(): number {
    return this.indices.length;
  }

  /** Places of the models of a tensor, which may be missing from some. */
  of({ modelIndex }: Pick<ValuedTask, "modelIndex">): number[] {
    return modelIndex.map((index) => this.#places.get(index)!);
  }
}

function nameOf({ name, copyOf }: ValuedTask, granularity: Granularity): string {
  const own = copyOf ?? name; // copies of one tensor stay equal
  if (granularity === "task") return "all";
  if (granularity === "tensor") return own;
  const layer = layerOf(own);
  return layer ? `${layer.prefix}.${layer.index}` : own.replace(/\.(weight|bias)$/, "");
}

const isMerged = ({ kind, models }: ValuedTask): boolean => kind === "merge" && models.length > 0;

const isLearnt = (task: ValuedTask, fromDepth: number): boolean => {
  const { name, depth } = task;
  return isMerged(task) && (fromDepth === 0 || (depth === undefined ? isAfterStack(name) : depth >= fromDepth));
};

/** Merged tensors whose coefficients stay as they are, a group each. */
export function fixedGroups(tasks: readonly ValuedTask[], { fromDepth, option, columns }: Grouping): Group[] {
  const fixed = tasks.filter((task) => isMerged(task) && !isLearnt(task, fromDepth));
  return fixed.map((task) => {
    const start = Array<number>(columns.count).fill(0);
    for (const [k, place] of columns.of(task).entries()) start[place] = task.perModel[k]![option] as number;
    return { name: task.name, tasks: [task], start };
  });
}

/** The groups of the tensors that are learnt, in the order of the plan. Throws UserError where starts differ in one. */
export function groupsOf(tasks: readonly ValuedTask[], { granularity, fromDepth, option, columns }: Grouping): Group[] {
  const found = new Map<string, ValuedTask[]>();
  for (const task of tasks) {
    if (!isLearnt(task, fromDepth)) continue;
    const name = nameOf(task, granularity);
    const list = found.get(name) ?? [];
    list.push(task);
    found.set(name, list);
  }
  return [...found].map(([name, list]) => {
    const start = Array<number | undefined>(columns.count).fill(undefined);
    for (const task of list) {
      for (const [k, index] of columns.of(task).entries()) {
        const value = task.perModel[k]![option] as number;
        if (start[index] !== undefined && start[index] !== value)
          throw new UserError(
            `${task.name} starts at ${option} ${value} and another tensor of ${name} at ${start[index]}`,
            "tensors that share a coefficient start at one value; take --granularity tensor, or no filter",
          );
        start[index] = value;
      }
    }
    return { name, tasks: list, start: start.map((value) => value ?? 0) };
  });
}
