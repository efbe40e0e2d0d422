/**
 * The losses of a mixture's routers, beside any objective: the load-balancing loss and the z-loss.
 *
 *   balance   E sum of f_i p_i in each layer, summed over layers: f_i the share of the slots that expert i has, a
 *             constant, p_i its mean probability over the micro-batch. 1 at balance, E where one expert has all
 *     micro       f of the micro-batch. Fedus et al. 2021, https://arxiv.org/abs/2101.03961
 *     sequence    f and p of each row, and the mean of the rows' losses
 *     global      f of the step's micro-batches so far, this one included. Demons in the Detail 2025,
 *                 https://arxiv.org/abs/2501.11873
 *   z-loss    mean of the squared log of the sum of exp(logits). Zoph et al. 2022, https://arxiv.org/abs/2202.08906
 *
 * The counts of a step stay on the GPU: the first micro-batch sets them and the others add to them, so that with one
 * micro-batch `global` is `micro`, and the last of several goes by the counts of the whole step. Layers are never
 * pooled. Padding does not count.
 */

import type { Gpu } from "../../../gpu/gpu.ts";
import { spanGroups } from "../../../gpu/grid.ts";
import { addLosses, type OwnLoss } from "../../../model/adapters/told.ts";
import { type Routed, type RoutedPass, routesOf } from "../../../model/routing.ts";
import { balanceLoss, excessLoad, expertLoad, routerZLoss } from "../../../tensor/ops/balance.ts";
import { div, isPositive, maximum, scale } from "../../../tensor/ops/elementwise.ts";
import { mean, rowMax, rowSum } from "../../../tensor/ops/reduce.ts";
import { Parameter } from "../../../tensor/parameter.ts";
import { ACCUMULATE, dynamic, type Recorder, type StepParam } from "../../../tensor/recorder.ts";
import type { Tensor } from "../../../tensor/tensor.ts";

export type BalanceForm = "global" | "micro" | "sequence";

export interface RouterLosses {
  /** Undefined: no load-balancing loss. */
  readonly form: BalanceForm | undefined;
  /** Weight of the load-balancing loss: of each layer's, or `k` times it of the layers' mean. */
  readonly balance: { readonly layer: number } | { readonly mean: number };
  /** Weight of each layer's z-loss. */
  readonly z: number;
  /** Whether counts of the step are kept without a loss that reads them. */
  readonly counts: boolean;
}

/** Tokens of a pass: 1 where one counts, and weights that sum to 1. */
interface Counted {
  readonly marks: Tensor;
  readonly weights: Tensor;
}

function countedOf(rec: Recorder, { shares }: RoutedPass, n: number): Counted {
  if (!shares) {
    const constant = (value: number, label: string) => rec.constant(new Float32Array(n).fill(value), [n], label);
    return { marks: constant(1, "marks of tokens"), weights: constant(1 / n, "weights of tokens") };
  }
  const weights = rec.reshape(shares(), [n]);
  return { marks: isPositive(rec, weights), weights };
}

/** Weights of tokens (N) of the mean over rows of the means over each row's tokens. */
function weightsByRow(rec: Recorder, marks: Tensor, rows: number): Tensor {
  const n = marks.shape[0]!;
  const own = rec.reshape(marks, [rows, n / rows]);
  const one = rec.constant(Float32Array.of(1), [1], "one");
  const tokens = rec.reshape(maximum(rec, rowSum(rec, own), one), [rows, 1]);
  return rec.reshape(scale(rec, div(rec, own, tokens), 1 / rows), [n]);
}

/** What `balance` counts of the mean over layers. */
function weightOf({ balance }: RouterLosses, { routed }: RoutedPass): number {
  if ("layer" in balance) return balance.layer * routed.size;
  return balance.mean * [...routed.values()][0]!.k;
}

/** Counts of every expert's slots in the step, by layer, on the GPU. */
export class StepLoads {
  readonly #gpu: Gpu;
  readonly #loads = new Map<number, Parameter>();

  constructor(gpu: Gpu) {
    this.#gpu = gpu;
  }

  /** By layer: (1, E), once a recording has added to them. */
  get loads(): ReadonlyMap<number, Parameter> {
    return this.#loads;
  }

  /** Adds the counts (1, E) of a pass to those of the step, which the first micro-batch sets; gives the sums. */
  add(rec: Recorder, layer: number, load: Tensor, accumulate: StepParam): Tensor {
    const [, e = 0] = load.shape;
    const name = `slots of layer ${layer}`;
    const kept = this.#loads.get(layer) ?? new Parameter(this.#gpu, name, [1, e], "f32", false);
    this.#loads.set(layer, kept);
    const y = rec.state(name, [1, e], kept.buffer);
    rec.step({
      kernel: "recorder/add-into",
      bind: { x: load, y },
      params: { n: e, accumulate },
      groups: spanGroups(Math.ceil(e / 4)),
    });
    return y;
  }

  free(): void {
    for (const kept of this.#loads.values()) kept.free();
    this.#loads.clear();
  }
}

/**
 * Records the losses of all forward passes of the model that is trained, as terms that join those of the step:
 * `balance_loss` and `router_z_loss`, means over layers, and `max_violation`, how far the fullest expert is above its
 * part in the counts that the loss goes by.
 */
export function recordRouterLosses(rec: Recorder, losses: RouterLosses, loads: StepLoads): void {
  const passes = routesOf(rec);
  const seen = new Set<number>();
  for (const pass of passes) {
    const terms: OwnLoss[] = [];
    const weight = weightOf(losses, pass);
    for (const [layer, routed] of pass.routed) {
      const counted = countedOf(rec, pass, routed.logits.shape[0]!);
      const accumulate = seen.has(layer) ? 1 : dynamic(ACCUMULATE);
      terms.push(
        ...ofLayer(rec, losses, pass, { layer, routed, counted, loads, accumulate, weight, layers: pass.routed.size }),
      );
      seen.add(layer);
    }
    addLosses(rec, terms);
  }
}

interface LayerGiven {
  readonly layer: number;
  readonly routed: Routed;
  readonly counted: Counted;
  readonly loads: StepLoads;
  readonly accumulate: StepParam;
  /** Of the mean of the layers' load-balancing losses. */
  readonly weight: number;
  /** Layers with experts. */
  readonly layers: number;
}

function ofLayer(rec: Recorder, { form, z, counts }: RouterLosses, { rows }: RoutedPass, given: LayerGiven): OwnLoss[] {
  const { routed, counted, loads, weight } = given;
  const { logits, expertOf, scoring } = routed;
  const { marks, weights } = counted;
  const experts = logits.shape[1]!;
  const terms: OwnLoss[] = [];
  const loadOf = (sequences: number) => expertLoad(rec, expertOf, marks, { experts, rows: sequences });
  const whole = counts || form === "global" ? loads.add(rec, given.layer, loadOf(1), given.accumulate) : undefined;
  if (form || whole) {
    const told = excessLoad(rec, whole ?? loadOf(1));
    terms.push({ name: "max_violation", value: mean(rec, rowMax(rec, told)), weight: 0 });
    const excess = form === "sequence" ? excessLoad(rec, loadOf(rows)) : told;
    const own = form === "sequence" ? weightsByRow(rec, marks, rows) : weights;
    const options = { excess, weights: own, sigmoid: scoring === "sigmoid" };
    if (form) terms.push({ name: "balance_loss", value: balanceLoss(rec, logits, options), weight });
  }
  if (z > 0) terms.push({ name: "router_z_loss", value: routerZLoss(rec, logits, weights), weight: z * given.layers });
  return terms;
}
