/** The outputs of several models as those of one: a mean of their logits, or the mixture of their distributions. */
import type { Recorder } from "../recorder.ts";
import type { Tensor } from "../tensor.ts";
import { abs, add, addScalar, logSigmoid, maximum, scale, sub } from "./elementwise.ts";
import { logSoftmax } from "./softmax.ts";

/** What is mixed. */
export type MixtureKind = "probabilities" | "logits";

/** One model's part in a mixture. */
export interface MixtureShare {
  /** (..., V) */
  readonly logits: Tensor;
  /** At least 0; those of a mixture sum to 1. */
  readonly weight: number;
  /** Of a mixture of probabilities: the logarithm of a weight for every row, (..., 1), in place of `weight`. */
  readonly logWeight?: Tensor;
  /** Factor of the logits before they are mixed; 1 when left out. */
  readonly sharpness?: number;
}

/** log(exp(a) + exp(b)), without overflow: two of one shape. */
const logAddExp = (rec: Recorder, a: Tensor, b: Tensor): Tensor =>
  sub(rec, maximum(rec, a, b), logSigmoid(rec, abs(rec, sub(rec, a, b))));

/**
 * Logits of a mixture (..., V): `logits` sum_k w_k s_k z_k, `probabilities` log sum_k w_k softmax(s_k z_k). A share
 * whose weight is 0 is not read, and a share that is left alone gives s z itself. At least one weight is above 0.
 */
export function mixedLogits(rec: Recorder, kind: MixtureKind, shares: readonly MixtureShare[]): Tensor {
  const heard = shares.filter(({ weight }) => weight > 0);
  const sharpened = heard.map(({ logits, sharpness = 1 }) =>
    sharpness === 1 ? logits : scale(rec, logits, sharpness),
  );
  if (heard.length === 1) return sharpened[0]!;
  if (kind === "logits")
    return sharpened.map((z, k) => scale(rec, z, heard[k]!.weight)).reduce((a, b) => add(rec, a, b));
  return sharpened
    .map((z, k) => {
      const { weight, logWeight } = heard[k]!;
      const p = logSoftmax(rec, z);
      return logWeight ? add(rec, p, logWeight) : addScalar(rec, p, Math.log(weight));
    })
    .reduce((a, b) => logAddExp(rec, a, b));
}
