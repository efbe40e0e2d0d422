/** Which tensors the output has, in which order, and under which name each input holds its part of them. */
import { UserError } from "../../errors.ts";
import { isAfterStack, layerOf, mainStack, type NamedModel, resolve, type Stack } from "../../model/names.ts";
import type { RestackedLayers } from "./output-config.ts";
import { depthOf } from "./parameters.ts";
import type { Input, Section } from "./sections.ts";

/** A tensor of the output. */
export interface Slot {
  readonly name: string;
  readonly section: Section;
  /** Number of its layer in the output. */
  readonly layer: number | undefined;
  /** Place of its layer in the section, 0 first and 1 last. */
  readonly depth: number | undefined;
  nameIn(input: Input): string;
}

const membersOf = (section: Section): Input[] =>
  section.origin === undefined ? [...section.inputs] : [section.origin, ...section.inputs];

/** Names of all models, in the order of the first one; what only later ones have comes last. */
function union(models: Iterable<NamedModel>, owns: (name: string) => boolean): Set<string> {
  const names = new Set<string>();
  for (const model of models) for (const name of model.tensors.keys()) if (owns(name)) names.add(name);
  return names;
}

/** Whole models: every tensor keeps its name, and depth is counted in each stack separately. */
export function wholeSlots(section: Section, donor: NamedModel, owns: (name: string) => boolean): Slot[] {
  const models = [...new Set(membersOf(section).map(({ model }) => model))];
  checkLayers(models);
  const ordered = models.includes(donor) ? [donor, ...models] : models;
  const counts = new Map<string, number>();
  for (const model of models) {
    for (const { prefix, count } of model.stacks.values()) counts.set(prefix, Math.max(count, counts.get(prefix) ?? 0));
  }
  return [...union(ordered, owns)].map((name): Slot => {
    const layer = layerOf(name);
    const depth = layer === undefined ? undefined : depthOf(layer.index, counts.get(layer.prefix)!);
    return { name, section, layer: layer?.index, depth, nameIn: () => name };
  });
}

/** Models merged whole must have equally many layers in the stack that makes up most of them. */
function checkLayers(models: readonly NamedModel[]): void {
  const first = models[0]!;
  const main = mainStack(first);
  if (main === undefined) return;
  for (const model of models) {
    const other = model.stacks.get(main.prefix);
    if (other === undefined || other.count === main.count) continue;
    const hint = "models of different depth can be merged by slices of equal length (slices, layer_range)";
    const [here, there] = [`${main.count} layers in ${first.ref}`, `${other.count} in ${model.ref}`];
    throw new UserError(`${main.prefix} has ${here} but ${there}`, hint);
  }
}

/**
 * Slices: layers are taken from the sources and numbered consecutively. Loose tensors up to the stack come from the
 * first slice, those after it (`isAfterStack`) from the last. Also returns how the stack changed.
 */
export function slicedSlots(
  sections: readonly Section[],
  donor: NamedModel,
  owns: (name: string) => boolean,
): { slots: Slot[]; stack: RestackedLayers } {
  const main = stackOf(donor, owns);
  const [first, last] = [sections[0]!, sections.at(-1)!];
  for (const section of sections) for (const input of membersOf(section)) checkRange(input, section, main.prefix);

  const layers = layerSlots(sections, main.prefix);
  const models = [donor, ...membersOf(first).map(({ model }) => model), ...membersOf(last).map(({ model }) => model)];
  const slots: Slot[] = [];
  let stacked = false;
  for (const name of union(models, owns)) {
    if (layerOf(name)?.prefix === main.prefix) {
      if (!stacked) slots.push(...layers);
      stacked = true;
      continue;
    }
    const section = isAfterStack(name) && layerOf(name) === undefined ? last : first;
    if (!membersOf(section).some(({ model }) => resolve(model, name))) continue;
    slots.push({ name, section, layer: layerOf(name)?.index, depth: undefined, nameIn: () => name });
  }
  const origins = sections.flatMap((section) => {
    const from = section.origin ?? section.inputs[0]!;
    return Array.from({ length: section.layers! }, (_, k) => from.first + k);
  });
  return { slots, stack: { prefix: main.prefix, before: main.count, origins } };
}

function layerSlots(sections: readonly Section[], prefix: string): Slot[] {
  const tails = new Map<NamedModel, Map<number, string[]>>();
  const tailsOf = (model: NamedModel, index: number): readonly string[] => {
    let byLayer = tails.get(model);
    if (byLayer === undefined) {
      byLayer = new Map();
      for (const name of model.tensors.keys()) {
        const layer = layerOf(name);
        if (layer?.prefix !== prefix) continue;
        const list = byLayer.get(layer.index);
        if (list === undefined) byLayer.set(layer.index, [layer.rest]);
        else list.push(layer.rest);
      }
      tails.set(model, byLayer);
    }
    return byLayer.get(index) ?? [];
  };
  const slots: Slot[] = [];
  let layer = 0;
  for (const section of sections) {
    for (let k = 0; k < section.layers!; k++, layer++) {
      const rests = new Set(membersOf(section).flatMap((input) => tailsOf(input.model, input.first + k)));
      const depth = depthOf(k, section.layers!);
      for (const rest of rests) {
        const nameIn = (input: Input) => `${prefix}.${input.first + k}.${rest}`;
        slots.push({ name: `${prefix}.${layer}.${rest}`, section, layer, depth, nameIn });
      }
    }
  }
  return slots;
}

function stackOf(donor: NamedModel, owns: (name: string) => boolean): Stack {
  const among = [...donor.stacks.values()].filter(({ prefix }) => owns(`${prefix}.0.weight`));
  const main = mainStack(donor, among);
  if (main !== undefined) return main;
  const found = among.length === 0 ? "none" : among.map(({ prefix, count }) => `${prefix} (${count})`).join(", ");
  const hint = among.length === 0 ? undefined : "name the parts under modules, each with its models or slices";
  throw new UserError(`slices need one stack of layers, found ${found} in ${donor.ref}`, hint);
}

function checkRange({ model, first }: Input, { layers, where }: Section, prefix: string): void {
  const count = model.stacks.get(prefix)?.count ?? 0;
  if (first + layers! <= count) return;
  const range = `[${first}, ${first + layers!})`;
  throw new UserError(`${where}layer_range ${range} goes past the ${count} layers of ${model.ref} (${prefix})`);
}
