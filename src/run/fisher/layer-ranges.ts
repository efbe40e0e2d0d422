/**
 * Ranges of a model's blocks and kinds of their modules, as the coarse search of CoFiTune goes through them: halves of
 * the stack first, then the halves of the best, then attention and feed-forward network of the best.
 */
import { UserError } from "../../errors.ts";
import type { Model } from "../../model/model.ts";
import { layerOf } from "../../model/names.ts";
import type { Parameter } from "../../tensor/parameter.ts";

/** Which modules of a block: those of attention, of the feed-forward network, or both. Norms are of neither. */
export type Modules = "both" | "attention" | "ffn";

/** Blocks from `first` to before `end`. */
export interface LayerRange {
  readonly first: number;
  readonly end: number;
  readonly modules: Modules;
}

/** The lower, the middle and the upper half of a stack, each once; the whole of a stack of one block. */
export function coarseRanges(layers: number): LayerRange[] {
  const half = Math.ceil(layers / 2);
  const starts = [0, Math.floor((layers - half) / 2), layers - half];
  return [...new Set(starts)].map((first) => ({ first, end: first + half, modules: "both" }));
}

/** The two halves of a range; none of a single block. */
export function halvesOf({ first, end, modules }: LayerRange): LayerRange[] {
  if (end - first < 2) return [];
  const middle = Math.ceil((first + end) / 2);
  return [
    { first, end: middle, modules },
    { first: middle, end, modules },
  ];
}

export const kindsOf = ({ first, end }: LayerRange): LayerRange[] => [
  { first, end, modules: "attention" },
  { first, end, modules: "ffn" },
];

/** The kind of the module that a weight of a block is of; undefined of norms. */
function kindOf(rest: string): Exclude<Modules, "both"> | undefined {
  const [module = ""] = rest.split(".");
  if (/norm|ln_/i.test(module)) return undefined;
  return /attn|attention/i.test(module) ? "attention" : "ffn";
}

/**
 * The weights of a range, and patterns for --train-only that name them alone. Throws UserError for a range without any
 * of its kind.
 */
export function weightsOf(model: Model, { first, end, modules }: LayerRange) {
  const weights: Parameter[] = [];
  const patterns = new Set<string>();
  for (const parameter of model.parameters.values()) {
    const layer = layerOf(parameter.name);
    if (!layer || layer.index < first || layer.index >= end) continue;
    const kind = kindOf(layer.rest);
    if (kind === undefined || (modules !== "both" && kind !== modules)) continue;
    weights.push(parameter);
    patterns.add(`${layer.prefix}.${layer.index}.${layer.rest.split(".")[0]}.*`);
  }
  if (weights.length === 0)
    throw new UserError(
      `blocks ${first} to ${end - 1} have no ${modules === "both" ? "attention or feed-forward network" : modules}`,
      "give a model made of blocks",
    );
  return { weights, patterns: [...patterns] };
}
