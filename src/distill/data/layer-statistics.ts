/**
 * How far rows are from those that a model learnt, by its layers' statistics: of batch norms the running ones, of other
 * layers the ones that some rows were measured by.
 *
 *   gap = sum over layers of |mean - mean'| + |variance - variance'|, the first layer times 10
 */
import { momentsOf } from "../../run/twice/batch-norm.ts";
import type { Network } from "../../run/twice/network.ts";
import { type Moments, type Weights, weightOf } from "../../run/twice/pass.ts";
import { add, norm, sub, times } from "../../tensor/twice/ops.ts";
import { constant, untaped, type Value } from "../../tensor/twice/value.ts";
import type { RealRows } from "./contract.ts";

const FIRST = 10;

/** Statistics by layer, in order: batch norms by their module. */
export type LayerStatistics = ReadonlyMap<string, Moments>;

export const normModules = ({ specs }: Network): string[] =>
  specs.flatMap(({ name }) => (name.endsWith(".running_mean") ? [name.slice(0, -".running_mean".length)] : []));

/** The running statistics of batch norms; of a model without, the moments of every layer's numbers over rows. */
export function statisticsOf(network: Network, weights: Weights, rows: RealRows | undefined): LayerStatistics {
  const modules = normModules(network);
  if (modules.length > 0)
    return new Map(
      modules.map((module) => {
        const of = (name: string) => weightOf(weights, `${module}.${name}`);
        return [module, { mean: of("running_mean"), variance: of("running_var") }] as const;
      }),
    );
  const found = new Map<string, Moments>();
  if (rows)
    untaped(() =>
      network.features(weights, constant(rows.x, [rows.labels.length, network.inputs]), {
        layer: (i, x) => found.set(`layer ${i}`, momentsOf(x)),
      }),
    );
  return found;
}

/** The distance of a layer's moments. */
export const apart = (own: Moments, wanted: Moments): Value =>
  add(norm(sub(own.mean, wanted.mean)), norm(sub(own.variance, wanted.variance)));

/** Logits of rows x, and their gap from statistics. */
export function judged(network: Network, weights: Weights, x: Value, wanted: LayerStatistics) {
  const gaps: Value[] = [];
  const hear = (name: string, own: () => Moments) => {
    const known = wanted.get(name);
    if (known) gaps.push(times(apart(own(), known), gaps.length === 0 ? FIRST : 1));
  };
  const logits = network.logits(weights, x, {
    norm: (module, own) => hear(module, () => own),
    layer: (i, values) => hear(`layer ${i}`, () => momentsOf(values)),
  });
  return { logits, gap: gaps.length > 0 ? gaps.reduce(add) : constant([0], [1]) };
}
