/** Tensors that repeat from layer to layer as one line: `model.layers.{0..31}.mlp.up_proj.weight`. */
import type { TensorInfo } from "../checkpoint/checkpoint.ts";
import { show } from "../json.ts";

export interface Group<T extends TensorInfo> {
  /** Name with the numbers of all members in braces; parts that could confuse a terminal are escaped. */
  readonly pattern: string;
  readonly members: readonly T[];
}

/** `0..31`, or `0..3,7` where some are missing. */
export function spellNumbers(numbers: Iterable<number>): string {
  const sorted = [...new Set(numbers)].sort((a, b) => a - b);
  const runs: [number, number][] = [];
  for (const n of sorted) {
    const last = runs.at(-1);
    if (last && n === last[1] + 1) last[1] = n;
    else runs.push([n, n]);
  }
  return runs.map(([from, to]) => (from === to ? `${from}` : `${from}..${to}`)).join(",");
}

const isNumber = (part: string): boolean => /^\d{1,5}$/.test(part);

/**
 * Groups tensors whose names differ in numbers only and that have one type and shape, in the order of their first
 * members.
 */
export function groupTensors<T extends TensorInfo>(tensors: Iterable<T>): Group<T>[] {
  const groups = new Map<string, { parts: string[]; numbers: Set<number>[]; members: T[] }>();
  for (const tensor of tensors) {
    const parts = tensor.name.split(".");
    const key = JSON.stringify([parts.map((part) => (isNumber(part) ? 0 : part)), tensor.dtype, tensor.shape]);
    const group = groups.get(key) ?? { parts, numbers: parts.map(() => new Set<number>()), members: [] };
    groups.set(key, group);
    group.members.push(tensor);
    for (const [i, part] of parts.entries()) if (isNumber(part)) group.numbers[i]!.add(Number(part));
  }
  return [...groups.values()].map(({ parts, numbers, members }) => ({
    pattern: parts.map((part, i) => (numbers[i]!.size > 1 ? `{${spellNumbers(numbers[i]!)}}` : show(part))).join("."),
    members,
  }));
}

/** Chooses tensors by name: a glob over the whole name, or without wildcards any name that contains the text. */
export function nameFilter(pattern: string | undefined): (name: string) => boolean {
  if (pattern === undefined) return () => true;
  if (!/[*?[{]/.test(pattern)) return (name) => name.includes(pattern);
  const glob = new Bun.Glob(pattern);
  return (name) => glob.match(name);
}
