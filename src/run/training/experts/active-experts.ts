/**
 * Progressive sparsification: the first layers take more experts for a token in most of a training, and as many as the
 * config says at its end. In the lowest layers a load-balancing loss with few experts is lowered by even probabilities
 * while loads stay uneven; more active experts keep them in use. Sigma-MoE-Tiny Technical Report 2025,
 * https://arxiv.org/abs/2512.16248
 *
 * Programs are fixed, so that the numbers are a part of their key. A switch changes no weight.
 */
import { UserError } from "../../../errors.ts";
import type { ActiveExperts } from "../../../model/routing.ts";

export interface ExpertStart {
  readonly start: readonly number[];
  readonly layers: string | undefined;
  readonly switch: number;
}

/** "0-7" or "0,2-4" -> layers in their order. Throws UserError. */
export function parseLayers(text: string): number[] {
  const found = text.split(",").flatMap((part) => {
    const range = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(part.trim());
    const [first, last] = [Number(range?.[1]), Number(range?.[2] ?? range?.[1])];
    if (!range || last < first)
      throw new UserError(`--expert-layers ${text}: ${part} is no layer and no range of layers`, "as in 0-7, or 0,2-4");
    return Array.from({ length: last - first + 1 }, (_, i) => first + i);
  });
  if (new Set(found).size < found.length)
    throw new UserError(`--expert-layers ${text} names a layer twice`, "name every layer once");
  return found;
}

/** Layers that have experts, with how many each has. */
export type Routers = ReadonlyMap<number, number>;

/** How many experts tokens take in each step of a training. */
export class ExpertCourse {
  readonly #start: ReadonlyMap<number, number>;
  /** The last step of the first phase. */
  readonly #last: number;

  /** Throws UserError for layers without experts, and for more experts than there are. */
  constructor({ start, layers, switch: share }: ExpertStart, routers: Routers, steps: number) {
    const named = layers === undefined ? [...routers.keys()].slice(0, start.length) : parseLayers(layers);
    if (named.length !== start.length)
      throw new UserError(
        `--expert-start has ${start.length} numbers for ${named.length} layers with experts`,
        "give a number for each layer",
      );
    for (const [i, layer] of named.entries()) {
      const [k, experts] = [start[i]!, routers.get(layer)];
      if (experts === undefined)
        throw new UserError(
          `--expert-layers: layer ${layer} has no experts`,
          `layers with experts: ${[...routers.keys()].join(", ")}`,
        );
      if (!Number.isInteger(k) || k < 1 || k > experts)
        throw new UserError(`--expert-start ${k}: layer ${layer} has ${experts} experts`, `give 1 to ${experts}`);
    }
    this.#start = new Map(named.map((layer, i) => [layer, start[i]!]));
    this.#last = Math.floor(share * steps);
  }

  /** Tells the programs of one phase from those of the other; empty at the end. */
  key(step: number): string {
    return step > this.#last ? "" : ` experts ${[...this.#start.values()].join()}`;
  }

  active(step: number): ActiveExperts | undefined {
    return step > this.#last ? undefined : (layer, k) => this.#start.get(layer) ?? k;
  }
}
