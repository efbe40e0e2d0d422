/**
 * The load-balancing loss of a mixture of experts, where config.json asks for it with `output_router_logits`: the
 * coefficient times E sum_e f_e p_e, over the tokens of all layers with experts. f_e is how many of a token's k places
 * go to expert e on average, a constant, and p_e its mean probability; padding does not count. Fedus et al. 2021,
 * https://arxiv.org/abs/2101.03961, in the form of transformers' Mixtral and Qwen-MoE, which does not divide f by k.
 */
import type { Batch } from "../../data/batch.ts";
import type { Json } from "../../model/architecture.ts";
import { routerCoefficient } from "../../model/config-keys.ts";
import type { Model, Recorded } from "../../model/model.ts";
import { add, mul, scale, sumTo } from "../../tensor/ops/elementwise.ts";
import { dot } from "../../tensor/ops/reduce.ts";
import { chosenExperts } from "../../tensor/ops/router.ts";
import { softmax } from "../../tensor/ops/softmax.ts";
import type { Program } from "../../tensor/program.ts";
import type { Recorder } from "../../tensor/recorder.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { tokenShares } from "../batch-programs.ts";

/** The loss in the programs of an objective. */
export interface RouterBalance {
  /** E sum f p (1) with its gradient (1): what it counts in the step. Undefined where no layer has experts. */
  record(rec: Recorder, batch: Batch, recorded: Recorded): readonly [Tensor, Tensor] | undefined;
  /** `share`: what the batch counts of the step. */
  fill(program: Program, batch: Batch, share: number): void;
}

/** Undefined where the config asks for no such loss. */
export function routerBalance({ json }: Pick<Model, "json">): RouterBalance | undefined {
  const coefficient = routerCoefficient(json as Json);
  if (coefficient === 0) return undefined;
  return {
    record(rec, batch, { routed }) {
      if (routed.size === 0) return undefined;
      const weights = rec.input("router_tokens", [batch.rows * batch.length, 1]); // 1 / tokens, 0 for padding
      const own = rec.input("router_share", [1]);
      return [balance(rec, [...routed.values()], weights), own];
    },
    fill(program, batch, share) {
      if (!program.takes("router_share")) return;
      program.write("router_tokens", tokenShares(batch));
      program.write("router_share", Float32Array.of(coefficient * share));
    },
  };
}

/** Logits (N, E) of every layer and tokens' weights (N, 1) that sum to 1 -> (1). */
export function balance(
  rec: Recorder,
  layers: readonly { readonly logits: Tensor; readonly k: number }[],
  weights: Tensor,
): Tensor {
  const sums = layers.map(({ logits, k }) => {
    const shape = [1, logits.shape[1]!];
    return {
      chosen: sumTo(rec, chosenExperts(rec, logits, k, weights), shape),
      likely: sumTo(rec, mul(rec, softmax(rec, logits), weights), shape),
    };
  });
  const total = (of: "chosen" | "likely") => sums.map((sum) => sum[of]).reduce((a, b) => add(rec, a, b));
  const experts = layers[0]!.logits.shape[1]!;
  return scale(rec, dot(rec, total("likely"), total("chosen")), experts / layers.length ** 2);
}
