/**
 * What updates of clients weigh so that clients of different speed count as they should: unbiased weights by Fraboni et
 * al., JMLR 2023, https://arxiv.org/abs/2206.10189; and those of anarchic clients and of dual-free ADMM.
 */

export interface Participation {
  readonly rule: "sync" | "fedfix" | "async" | "fedbuff";
  /** Wanted share of each client. */
  readonly importance: readonly number[];
  readonly time: readonly number[];
  readonly rate: readonly number[];
  readonly interval: number;
  /** Sum of 1 / time over all clients; left out, over those in `time`. */
  readonly inverseTimes?: number | undefined;
}

/** Coefficients d_k of the clients. */
export function fedfixWeights(given: Participation): number[] {
  const { rule, importance, time, rate, interval } = given;
  const inverse = given.inverseTimes ?? time.reduce((sum, t) => sum + 1 / t, 0);
  return importance.map((p, k) => {
    if (rule === "fedfix") return Math.ceil(time[k]! / interval) * p;
    if (rule === "async") return p * time[k]! * inverse;
    return rule === "fedbuff" ? p / rate[k]! : p;
  });
}

/**
 * Coefficients of the clients' changes x_k - start_k, of which each is -rate_k steps_k times a mean gradient, in a step
 * of rate eta against the mean of these gradients. Yang et al., ICML 2022, https://arxiv.org/abs/2108.09875
 */
export const anarchicWeights = (
  eta: number,
  clients: readonly { readonly rate: number; readonly steps: number }[],
): number[] => clients.map(({ rate, steps }) => eta / (clients.length * rate * steps));

/** Coefficients of the iterates x_k, and again of the changes x_k - x_k' since those before. */
export const iterateWeights = (clients: number): number[] => Array.from({ length: clients }, () => 1 / clients);
