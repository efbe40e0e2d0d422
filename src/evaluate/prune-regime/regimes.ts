/** The three regimes of pruning, and which way the temperature of training should go. */

export type Regime = "I" | "II-A" | "II-B";

export interface Bounds {
  /** A line whose loss is so much above its ends, as a share of their loss, has a barrier. */
  readonly barrier: number;
  /** Features that are so much alike are those of one solution. */
  readonly similar: number;
}

export interface Landscape {
  readonly lmc: number;
  readonly cka: number;
  /** Mean loss of the two ends. */
  readonly loss: number;
}

/** I poorly connected; II connected, A with unlike and B with like features. */
export function regimeOf({ lmc, cka, loss }: Landscape, { barrier, similar }: Bounds): Regime {
  if (lmc < -barrier * Math.abs(loss)) return "I";
  return cka >= similar ? "II-B" : "II-A";
}

/** Temperature: what higher rates, smaller batches and fewer epochs raise. The best lies where the regimes meet. */
export const ADVICE: Readonly<Record<Regime, string>> = {
  I: "raise the temperature",
  "II-A": "keep it",
  "II-B": "lower the temperature",
};
