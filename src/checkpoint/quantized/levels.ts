/** Values of the codes of small floats, by the name of the grid. Integers have none. */
import { decodeFloats } from "../decode.ts";
import { E2M1 } from "./e2m1.ts";

const ALL_BYTES = Uint8Array.from({ length: 256 }, (_, byte) => byte);

/** A float of a sign, `exponent` and `mantissa` bits, without infinities and NaN: OCP Microscaling Formats 1.0. */
function smallFloat(exponent: number, mantissa: number, bias: number): Float32Array {
  const half = 2 ** (exponent + mantissa);
  return Float32Array.from({ length: 2 * half }, (_, code) => {
    const [power, rest] = [Math.floor((code % half) / 2 ** mantissa), (code % 2 ** mantissa) / 2 ** mantissa];
    const value = power === 0 ? rest * 2 ** (1 - bias) : (1 + rest) * 2 ** (power - bias);
    return code < half ? value : -value;
  });
}

/**
 * Quantiles of a normal distribution, scaled to [-1, 1], with an exact 0. Dettmers et al. 2023,
 * https://arxiv.org/abs/2305.14314, appendix E.
 */
const NF4 = Float32Array.of(
  ...[-1, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635, -0.18477343022823334],
  ...[-0.09105003625154495, 0, 0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224],
  ...[0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1],
);

/** The 4-bit float of bitsandbytes: e2m1 with another order of codes, scaled to [-1, 1]. */
const BNB_FP4_HALF = [0, 0.005208333333, 0.66666667, 1, 0.33333333, 0.5, 0.16666667, 0.25];
const BNB_FP4 = Float32Array.of(...BNB_FP4_HALF, ...BNB_FP4_HALF.map((value) => -value));

export const LEVELS = {
  /** OCP 8-bit floats; the codes of NaN and of infinities are no values of a weight. */
  "fp8-e4m3": decodeFloats(ALL_BYTES, "F8_E4M3"),
  "fp8-e5m2": decodeFloats(ALL_BYTES, "F8_E5M2"),
  "fp6-e3m2": smallFloat(3, 2, 3),
  "fp6-e2m3": smallFloat(2, 3, 1),
  "fp4-e2m1": E2M1,
  nf4: NF4,
  "bnb-fp4": BNB_FP4,
} as const satisfies Record<string, Float32Array>;

/** Names of grids that are no integers. */
export type LevelsName = keyof typeof LEVELS;
