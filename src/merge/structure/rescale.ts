/** Width and depth of a model divided or multiplied, as the outline of a merge. */
import { UserError } from "../../errors.ts";
import type { Options } from "../../method/options.ts";
import type { NamedModel } from "../../model/names.ts";
import { type Block, blocksOf, refuseNumbered, type Source, sourceOf, stackBlocks } from "./blocks.ts";
import type { Outline } from "./outline.ts";
import { type Pairing, type Scaling, scaledModel } from "./widths.ts";

export const SCALING = {
  width: { type: "number.integer >= 1", default: 2, value: "F", help: "so many units, heads and coordinates are one" },
  depth: { type: "number.integer >= 1", default: 2, value: "F", help: "so many blocks are one" },
  pair: {
    type: "'groups' | 'queries'",
    default: "groups",
    help: "which heads are one: heads of keys and values with their query heads, or query heads that share them",
  },
} as const satisfies Options;

interface Asked {
  readonly width: number;
  readonly depth: number;
  readonly pair: Pairing;
  readonly way: Scaling["way"];
}

/** Throws UserError where the model's parts are not known, or do not come in such numbers. */
export function rescaled(model: NamedModel, { width, depth, pair, way }: Asked, method: string): Outline {
  const wide = width === 1 ? undefined : scaledModel(model, { factor: width, pairing: pair, way }, method);
  const source: Source = wide
    ? { input: 0, ref: model.ref, tensors: new Map(wide.tensors.map((tensor) => [tensor.name, tensor])) }
    : sourceOf(0, model);
  const loose = [...source.tensors.values()].map(({ name, shape, views }) => ({
    ...{ name, shape },
    parts: views.map(({ entry, share }) => ({ input: 0, entry, share })),
  }));
  const untied = wide?.wasTied ?? false;
  const told = {
    ...{ fields: wide?.fields ?? {}, untied },
    notes: untied ? ["the head becomes a tensor of its own: an embedding is averaged and a head is summed"] : [],
  };
  if (depth === 1) return { tensors: loose, ...told };
  const stack = blocksOf(model, method);
  refuseNumbered(model, method);
  const origins = originsOf(stack.count, depth, way, model.ref);
  const blocks = origins.map((members) => members.map((layer): Block => ({ source, layer })));
  const restacked = { prefix: stack.prefix, before: stack.count, origins: origins.map(([first]) => first!) };
  return { tensors: stackBlocks(stack.prefix, source, blocks), stacks: [restacked], ...told };
}

/** For every block of the result, those of the model. */
function originsOf(count: number, depth: number, way: Scaling["way"], ref: string): number[][] {
  if (way === "multiply") return Array.from({ length: count * depth }, (_, l) => [Math.floor(l / depth)]);
  if (count % depth !== 0)
    throw new UserError(
      `${ref} has ${count} blocks, which ${depth} does not divide`,
      "choose a --depth that divides it",
    );
  return Array.from({ length: count / depth }, (_, l) => Array.from({ length: depth }, (_, k) => l * depth + k));
}
