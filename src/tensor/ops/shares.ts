/** Tokens that are shared out to experts by chance, without a router: Experts Weights Averaging 2023. */
import { spanGroups } from "../../gpu/grid.ts";
import { dynamic, type Recorder } from "../recorder.ts";
import { expectShape, type Tensor } from "../tensor.ts";
import { type RoutePlan, sortSlots } from "./router.ts";

/** Where each token goes, of one slot each; `dispatch`, `groupedLinear` and `collect` work by it. */
export type SharePlan = Omit<RoutePlan, "lse" | "expertOf">;

export interface ShareOptions {
  readonly tokens: number;
  readonly experts: number;
  /** (N, 1): 0 where a token is padding, which goes to the last expert and counts for none. */
  readonly shares?: Tensor | undefined;
  /** Tells this use from others; the same when it is recorded anew on the way back. */
  readonly key: string;
}

/** A random part of the tokens for every expert, by (key, dynamic "seed", place); their sizes differ by one at most. */
export function randomShares(rec: Recorder, { tokens, experts, shares, key }: ShareOptions): SharePlan {
  if (!Number.isInteger(experts) || experts < 1) throw new RangeError(`${experts} experts`);
  if (shares) expectShape(shares, [tokens, 1], "shares of tokens");
  const expertOf = rec.scratch([tokens, 1], "experts", "u32");
  rec.step({
    kernel: "moe/share-out",
    flags: shares ? ["padded"] : [],
    bind: { ...(shares ? { shares } : {}), experts: expertOf },
    params: {
      n: tokens,
      e: experts,
      key: Number(BigInt.asUintN(32, BigInt(Bun.hash.xxHash32(key)))),
      seed: dynamic("seed"),
    },
    groups: spanGroups(tokens, 64),
  });
  return { tokens, k: 1, experts, ...sortSlots(rec, expertOf, tokens, experts) };
}
