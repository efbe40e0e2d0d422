/** Dropout. Srivastava et al., JMLR 2014. */
import { spanGroups } from "../../gpu/grid.ts";
import { dynamic, type Recorder, type StepParam } from "../recorder.ts";
import { sizeOf, type Tensor } from "../tensor.ts";

/** Name of the dynamic value that must differ from run to run. */
const SEED = "seed";

export interface DropoutOptions {
  /** Probability of a zero. */
  readonly p: number;
  /** Tells this use from others; the same when it is recorded anew on the way back. */
  readonly key: string;
}

/** Zeros at random, by (key, dynamic "seed", place). The identity in evaluation. */
export function dropout(rec: Recorder, x: Tensor, { p, key }: DropoutOptions): Tensor {
  if (!(p >= 0 && p < 1)) throw new RangeError(`dropout of ${p}`);
  if (!rec.training || p === 0) return x;
  const count = sizeOf(x.shape);
  const mask = (from: Tensor, y: Tensor, accumulate: StepParam) =>
    rec.step({
      kernel: "dropout/dropout",
      bind: { x: from, y },
      params: {
        count,
        threshold: Math.round((1 - p) * 2 ** 24),
        scale: 1 / (1 - p),
        key: Number(BigInt.asUintN(32, BigInt(Bun.hash.xxHash32(key)))),
        seed: dynamic(SEED),
        accumulate,
      },
      groups: spanGroups(count),
    });
  const y = rec.result(x.shape, [x], `dropout of ${x.label}`);
  mask(x, y, 0);
  rec.onBackward(y, (dy) => {
    const { into, accumulate } = rec.gradient(x);
    mask(dy, into, accumulate);
  });
  return y;
}
