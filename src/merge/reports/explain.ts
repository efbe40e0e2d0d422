/** `merge --explain`: the parameters that act on every tensor, once gradients and filters are worked out. */

import { layerOf } from "../../model/names.ts";
import { table } from "../../text/table.ts";
import type { ValuedTask } from "../job/task.ts";
import type { MergePlan } from "../plan/merge-plan.ts";

export interface Explanation {
  /** `tensor`, then one column per parameter; those given per model name the model: `weight a/`. */
  readonly columns: readonly string[];
  readonly rows: readonly (readonly string[])[];
}

/**
 * One row per tensor, or with `compact` (the default) one row per tensor of a layer and run of consecutive layers that
 * have the same values: `model.layers.0-3.mlp.up_proj.weight`.
 */
export function explain(plan: MergePlan, compact = true): Explanation {
  const shared = new Set<string>();
  const own = new Map<string, { model: number; parameter: string }>();
  for (const tensor of plan.tensors) {
    for (const name of Object.keys(tensor.values)) shared.add(name);
    tensor.perModel.forEach((values, i) => {
      for (const parameter of Object.keys(values)) {
        const model = tensor.modelIndex[i]!;
        own.set(`${parameter}\n${model}`, { model, parameter });
      }
    });
  }
  const perModel = [...own.values()].sort((a, b) => a.parameter.localeCompare(b.parameter) || a.model - b.model);
  const columns = [
    "tensor",
    ...perModel.map(({ model, parameter }) => `${parameter} ${plan.models[model]}`),
    ...shared,
  ];
  const cells = (tensor: ValuedTask): string[] => {
    if (tensor.kind === "copy") return columns.slice(1).map((_, i) => (i === 0 ? "copied" : ""));
    const ofModels = perModel.map(({ model, parameter }) => {
      const at = tensor.modelIndex.indexOf(model);
      return at < 0 ? "-" : spell(tensor.perModel[at]![parameter]);
    });
    return [...ofModels, ...[...shared].map((name) => spell(tensor.values[name]))];
  };
  if (!compact) return { columns, rows: plan.tensors.map((tensor) => [tensor.name, ...cells(tensor)]) };
  return { columns, rows: runs(plan.tensors, cells) };
}

/** In 80 columns: what is the same for all tensors that are merged stands once, above a table of what is not. */
export function explanationText({ columns, rows }: Explanation): string {
  const merged = rows.filter((row) => row[1] !== "copied");
  const differs = (i: number) => merged.some((row) => row[i] !== merged[0]?.[i]);
  const varying = columns.map((_, i) => i).filter((i) => i > 0 && differs(i));
  const [first] = merged;
  const same = columns
    .slice(1)
    .flatMap((name, i) => (first === undefined || differs(i + 1) ? [] : [[name, first[i + 1]!]]));
  const copied = rows.length > merged.length;
  const shown = varying.length > 0 || copied || same.length === 0 ? rows : [];
  const cells = (row: readonly string[]) =>
    row[1] === "copied" ? ["copied", ...varying.slice(1).map(() => "")] : varying.map((i) => row[i]!);
  const heads = varying.map((i) => columns[i]!);
  const lists = `all ${shown.length > 0 ? "merged " : ""}tensors:`;
  const above = same.length > 0 ? [[lists, table(same).replace(/^/gm, "  ")].join("\n")] : [];
  const below =
    shown.length > 0 ? [table([["tensor", ...heads], ...shown.map((row) => [row[0]!, ...cells(row)])], FIT)] : [];
  return [...above, ...below].join("\n\n");
}

const FIT = { width: 80 } as const;

interface Run {
  prefix: string;
  rest: string;
  first: number;
  last: number;
  cells: string[];
}

function runs(tensors: readonly ValuedTask[], cells: (tensor: ValuedTask) => string[]): string[][] {
  const byKind = new Map<string, { layer: number; tensor: ValuedTask }[]>();
  for (const tensor of tensors) {
    const parts = layerOf(tensor.name);
    const key = parts === undefined ? tensor.name : `${parts.prefix}\n${parts.rest}`;
    const list = byKind.get(key) ?? [];
    list.push({ layer: parts?.index ?? 0, tensor });
    byKind.set(key, list);
  }
  const rows: string[][] = [];
  for (const [key, list] of byKind) {
    const [prefix, rest] = key.split("\n");
    if (rest === undefined) {
      for (const { tensor } of list) rows.push([tensor.name, ...cells(tensor)]);
      continue;
    }
    const found: Run[] = [];
    for (const { layer, tensor } of list.sort((a, b) => a.layer - b.layer)) {
      const row = cells(tensor);
      const run = found.at(-1);
      if (run?.last === layer - 1 && run.cells.every((cell, i) => cell === row[i])) run.last = layer;
      else found.push({ prefix: prefix!, rest, first: layer, last: layer, cells: row });
    }
    for (const run of found) {
      const range = run.first === run.last ? `${run.first}` : `${run.first}-${run.last}`;
      rows.push([`${run.prefix}.${range}.${run.rest}`, ...run.cells]);
    }
  }
  return rows;
}

/** Six digits distinguish any two anchors and hide the rounding of a gradient. */
const spell = (value: unknown): string => {
  if (value === undefined) return "";
  return typeof value === "number"
    ? String(Number(value.toPrecision(6)))
    : typeof value === "string"
      ? value
      : JSON.stringify(value);
};
