/**
 * The router of a sparse mixture of experts: which experts every token takes, with which weights, and the list of slots
 * sorted by expert that their products run over.
 *
 * A slot is one of a token's k places for experts; slot s belongs to token s / k (rounded down). Everything is
 * gathered, never scattered, so there are no atomics and equal inputs give equal bits. Shazeer et al. 2017,
 * https://arxiv.org/abs/1701.06538
 */
import { spanGroups } from "../../gpu/grid.ts";
import type { Recorder } from "../recorder.ts";
import { expectShape, showShape, type Tensor } from "../tensor.ts";
import { stopGradient } from "./elementwise.ts";

const BLOCK = 256; // slots that a lane of wgsl/moe/count.wgsl walks

export interface RouteOptions {
  /** Experts per token. */
  readonly k: number;
  /** Divide the weights by their sum over the k experts. */
  readonly normalize: boolean;
  /** Over all experts together, or of each alone. Softmax when left out. */
  readonly scoring?: "softmax" | "sigmoid";
  /** (E): added to the scores for the choice, not for the weights. It takes no gradient. */
  readonly bias?: Tensor;
  /**
   * Experts stand in `count` groups; those of the `kept` best are chosen from. A group is worth its best one or two.
   */
  readonly groups?: { readonly count: number; readonly kept: number; readonly worth: "best" | "two" };
  /** Multiplies the weights; 1 when left out. */
  readonly scale?: number;
}

/** Most groups of experts: bits of a word. */
const MOST_GROUPS = 32;

/** Which expert every slot goes to, on the GPU. S = tokens * k. */
export interface RoutePlan {
  readonly tokens: number;
  readonly k: number;
  readonly experts: number;
  /** (N, k) u32, likeliest first. */
  readonly expertOf: Tensor;
  /** (S) u32: the slot at every place of the list that is sorted by expert, and in order of slots within one. */
  readonly slots: Tensor;
  /** (S) u32: the place of every slot. */
  readonly places: Tensor;
  /** (E + 1) u32: where each expert's places begin. */
  readonly offsets: Tensor;
  /** (N) f32: log of the sum of exp(logits). */
  readonly lse: Tensor;
}

/**
 * Router logits (N, E) -> the weights (N, k) of the k best experts, and where the slots go; of equal scores the lowest
 * index wins. Gradients go back to the logits with the choice held constant. Throws RangeError unless k is from 1 to
 * the experts that are left, and groups are equal.
 */
export function route(
  rec: Recorder,
  logits: Tensor,
  { k, normalize, scoring = "softmax", bias, groups, scale = 1 }: RouteOptions,
): { readonly weights: Tensor; readonly plan: RoutePlan } {
  const [n = 0, e = 0] = logits.shape;
  if (logits.shape.length !== 2) throw new RangeError(`${logits.label} ${showShape(logits.shape)} is not (N, experts)`);
  const { count = 1, kept = 1 } = groups ?? {};
  if (e % count !== 0 || count > MOST_GROUPS || kept < 1 || kept > count)
    throw new RangeError(`${kept} of ${count} groups of ${e} experts; at most ${MOST_GROUPS}, all of one size`);
  const left = (e / count) * kept;
  if (!Number.isInteger(k) || k < 1 || k > left) throw new RangeError(`${k} experts per token out of ${left}`);
  if (bias) expectShape(bias, [e], "bias of the choice");
  const weights = rec.result([n, k], [logits], "weights of experts");
  const lse = rec.scratch([n], "log sums of router logits");
  const expertOf = rec.scratch([n, k], "experts", "u32");
  const flags = [...(normalize ? ["normalize"] : []), ...(scoring === "sigmoid" ? ["sigmoid"] : [])];
  rec.step({
    kernel: "moe/route",
    flags: [
      ...flags,
      ...(bias ? ["biased"] : []),
      ...(kept < count ? ["grouped", ...(groups?.worth === "two" ? ["pairs"] : [])] : []),
    ],
    bind: { logits, ...(bias ? { bias } : {}), lse, experts: expertOf, weights },
    params: { n, e, k, groups: count, kept, scale },
    groups: spanGroups(n, 64),
  });
  rec.onBackward(weights, (dw) => {
    const { into, accumulate } = rec.gradient(logits);
    const needs: Record<string, Tensor> = scoring === "sigmoid" ? { logits } : normalize ? {} : { logits, lse };
    rec.step({
      kernel: "moe/route-gradient",
      flags,
      bind: { ...needs, experts: expertOf, weights, dw, d_logits: into },
      params: { count: n * e, e, k, accumulate, scale },
      groups: spanGroups(n * e),
    });
  });
  return { weights, plan: { tokens: n, k, experts: e, expertOf, lse, ...sortSlots(rec, expertOf, n * k, e) } };
}

/** Stable counting sort of slots by expert. */
export function sortSlots(
  rec: Recorder,
  experts: Tensor,
  s: number,
  e: number,
): Pick<RoutePlan, "slots" | "places" | "offsets"> {
  const blocks = Math.ceil(s / BLOCK);
  const counts = rec.scratch([blocks, e], "slots of experts", "u32");
  const begins = rec.scratch([blocks + 1, e], "begins of blocks", "u32");
  const slots = rec.scratch([s], "slots by expert", "u32");
  const places = rec.scratch([s], "places of slots", "u32");
  const offsets = rec.scratch([e + 1], "offsets of experts", "u32");
  const groups = spanGroups(blocks * e, 64);
  rec.step({ kernel: "moe/count", bind: { experts, counts }, params: { s, e, blocks }, groups });
  rec.step({ kernel: "moe/scan", bind: { counts, begins }, params: { e, blocks }, groups: spanGroups(e, 64) });
  rec.step({
    kernel: "moe/place",
    bind: { experts, begins, slots, places, offsets },
    params: { s, e, blocks },
    groups,
  });
  return { slots, places, offsets };
}

/**
 * The k likeliest experts of every token, times the token's weight: logits (N, E), weights (N, 1) -> (N, E), without
 * gradient.
 */
export function chosenExperts(rec: Recorder, logits: Tensor, k: number, weights: Tensor): Tensor {
  const [n = 0, e = 0] = logits.shape;
  expectShape(weights, [n, 1], "chosen experts");
  const { plan } = route(rec, stopGradient(rec, logits), { k, normalize: false });
  const y = rec.scratch([n, e], "chosen experts");
  rec.step({
    kernel: "moe/chosen",
    bind: { experts: plan.expertOf, weights, y },
    params: { count: n * e, e, k },
    groups: spanGroups(n * e),
  });
  return y;
}
