/**
 * Snapshots of the adapters of several tasks, as rows of numbers: A and then B of every module, one module after the
 * other, each number by its own mean and deviation over all snapshots.
 *
 * Host memory: 4 bytes for every number of every snapshot.
 */
import fs from "node:fs";
import path from "node:path";
import type { AdapterValue, LowRankModule } from "../../checkpoint/adapter/value.ts";
import { UserError } from "../../errors.ts";

/** Where the snapshots of a task lie, in the order of their training. */
export interface TaskFolder {
  readonly task: string;
  readonly refs: readonly string[];
}

/** A module of every adapter. */
export interface FusedModule extends Pick<LowRankModule, "module" | "kind" | "inputs" | "rank" | "into" | "out"> {
  /** The scale of B A in the first adapter, which B of the others is brought to. */
  readonly scale: number;
}

/** The numbers that tell a snapshot's place: the last of its name, as in `out.step-200`. */
const stepIn = (name: string): number => Number(/(\d+)(?:\.\w+)?$/.exec(name)?.[1] ?? Number.POSITIVE_INFINITY);

const isAdapter = (at: string): boolean =>
  at.endsWith(".safetensors") || fs.existsSync(path.join(at, "adapter_config.json"));

/**
 * The adapters below `folder`, which has a folder for each task: by the step that ends their names, those without one
 * last. Throws UserError where a task that is asked for has none.
 */
export function findSnapshots(folder: string, tasks: readonly string[]): TaskFolder[] {
  if (!fs.statSync(folder, { throwIfNoEntry: false })?.isDirectory())
    throw new UserError(`--adapters ${folder} is no folder`, "give one with a folder of adapters for each task");
  const there = fs.readdirSync(folder).filter((name) => !name.startsWith("."));
  return tasks.map((task) => {
    const own = path.join(folder, task);
    if (!fs.statSync(own, { throwIfNoEntry: false })?.isDirectory())
      throw new UserError(
        `${folder} has no folder ${task}, of which --data names rows; there are ${there.sort().join(", ")}`,
        "--data NAME=FILE has the names of the folders",
      );
    const names = fs.readdirSync(own).filter((name) => !name.startsWith(".") && isAdapter(path.join(own, name)));
    if (names.length === 0)
      throw new UserError(`${own} holds no adapters`, "train --save-every N --keep M leaves some beside its result");
    names.sort((a, b) => {
      const [one, other] = [stepIn(a), stepIn(b)];
      return one === other ? (a < b ? -1 : 1) : one < other ? -1 : 1;
    });
    return { task, refs: names.map((name) => path.join(own, name)) };
  });
}

const sidesOf = ({ kind, rank, inputs, out }: LowRankModule): string =>
  `${kind === "linear" ? "" : `${kind} `}B (${out}, ${rank}) A (${[rank, ...inputs].join(", ")})`;

/**
 * The modules of all adapters. Throws UserError, with names, where two do not change the same modules by factors of the
 * same shapes, and for modules other than linear layers.
 */
export function sharedLayout(adapters: readonly AdapterValue[]): FusedModule[] {
  const [first, ...others] = adapters as [AdapterValue, ...AdapterValue[]];
  const [{ ref }, modules] = [first.checkpoint, [...first.modules.values()]];
  const odd = modules.find(({ kind, inputs }) => kind !== "linear" || inputs.length > 1);
  if (odd)
    throw new UserError(
      `${odd.module} in ${ref} is ${odd.kind === "linear" ? "a convolution" : "an embedding"}, and fuse takes linear layers`,
      "train adapters of linear layers alone: --lora-targets",
    );
  for (const other of others) {
    const { ref: otherRef } = other.checkpoint;
    const extra = [...other.modules.keys()].find((name) => !first.modules.has(name));
    if (extra !== undefined)
      throw new UserError(`${otherRef} changes ${extra} and ${ref} does not`, "snapshots have the same modules");
    for (const module of modules) {
      const own = other.modules.get(module.module);
      if (own === undefined)
        throw new UserError(
          `${ref} changes ${module.module} and ${otherRef} does not`,
          "snapshots have the same modules",
        );
      if (sidesOf(own) !== sidesOf(module))
        throw new UserError(
          `${module.module} is ${sidesOf(module)} in ${ref} but ${sidesOf(own)} in ${otherRef}`,
          "fuse takes adapters of equal shapes; adapt resize brings them to one rank",
        );
      if (own.scale === 0 || module.scale === 0)
        throw new UserError(`${own.scale === 0 ? otherRef : ref} has a scale of 0`, "its lora_alpha is 0");
    }
  }
  return modules.map(({ module, kind, inputs, rank, into, out, scale }) => ({
    ...{ module, kind, inputs, rank, into, out, scale },
  }));
}

/** How many numbers an adapter has. */
export const countOf = (layout: readonly FusedModule[]): number =>
  layout.reduce((sum, { rank, into, out }) => sum + rank * (into + out), 0);

/** The numbers of an adapter. */
export async function numbersOf({ modules }: AdapterValue, layout: readonly FusedModule[]): Promise<Float32Array> {
  const numbers = new Float32Array(countOf(layout));
  let at = 0;
  for (const { module, scale } of layout) {
    const own = modules.get(module)!;
    const { a, b } = await own.read();
    numbers.set(a, at);
    const factor = own.scale / scale;
    numbers.set(factor === 1 ? b : b.map((value) => factor * value), at + a.length);
    at += a.length + b.length;
  }
  return numbers;
}

/** A and B of every module, as views. */
export function factorsOf(
  numbers: Float32Array,
  layout: readonly FusedModule[],
): Map<string, { readonly a: Float32Array; readonly b: Float32Array }> {
  let at = 0;
  return new Map(
    layout.map(({ module, rank, into, out }) => {
      const a = numbers.subarray(at, at + rank * into);
      const b = numbers.subarray(at + a.length, at + a.length + out * rank);
      at += a.length + b.length;
      return [module, { a, b }] as const;
    }),
  );
}

/** Means and deviations of every number, (n) each; a deviation of 0, of what never changes, counts as 1. */
export interface Spread {
  readonly mean: Float32Array;
  readonly deviation: Float32Array;
}

export function spreadOf(rows: readonly Float32Array[]): Spread {
  const count = rows[0]!.length;
  const [mean, square] = [new Float64Array(count), new Float64Array(count)];
  for (const row of rows) for (let i = 0; i < count; i++) mean[i]! += row[i]! / rows.length;
  for (const row of rows) for (let i = 0; i < count; i++) square[i]! += (row[i]! - mean[i]!) ** 2 / rows.length;
  return {
    mean: Float32Array.from(mean),
    deviation: Float32Array.from(square, (value, i) =>
      Math.sqrt(value) > 1e-7 * Math.max(1e-7, Math.abs(mean[i]!)) ? Math.sqrt(value) : 1,
    ),
  };
}

/** (x - mean) / deviation, with zeros behind it up to `width`. */
export function normalized(numbers: Float32Array, { mean, deviation }: Spread, width: number): Float32Array {
  const found = new Float32Array(width);
  for (let i = 0; i < numbers.length; i++) found[i] = (numbers[i]! - mean[i]!) / deviation[i]!;
  return found;
}
