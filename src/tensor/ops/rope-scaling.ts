/**
 * Frequencies of rotary positions as Hugging Face computes them: default, linear, dynamic, llama3 and yarn
 * (https://arxiv.org/abs/2309.00071). Dynamic scaling is the default up to `max_position_embeddings`, which no sequence
 * exceeds here.
 */
import { CANNOT_RUN, UserError } from "../../errors.ts";

export interface RopeTables {
  /** (D / 2), f32 as the reference holds them. */
  readonly inverseFrequencies: Float32Array;
  /** Multiplies cosine and sine. */
  readonly attentionScale: number;
  /** Base of the frequencies before scaling. */
  readonly theta: number;
}

export interface RopeConfig {
  readonly headDim: number;
  readonly theta: number;
  /** `rope_scaling` of config.json. */
  readonly scaling?: Readonly<Record<string, unknown>> | undefined;
  readonly maxPositions: number;
  /** Names the config in messages. */
  readonly where: string;
}

/** Throws UserError for a kind of scaling that is not known, and for a missing number. */
export function ropeTables({ headDim, theta, scaling, maxPositions, where }: RopeConfig): RopeTables {
  const half = headDim / 2;
  if (!Number.isInteger(half)) throw new UserError(`${where}: heads of ${headDim} values cannot be rotated in pairs`);
  const plain = Float64Array.from({ length: half }, (_, i) => theta ** (-(2 * i) / headDim));
  const kind = scaling?.rope_type ?? scaling?.type ?? "default";
  const number = (key: string, fallback?: number, least = Number.NEGATIVE_INFINITY): number => {
    const value = scaling?.[key] ?? fallback;
    if (typeof value === "number" && Math.abs(value) <= 3.4e38 && value > least) return value;
    const shown = typeof value === "number" ? String(value) : (JSON.stringify(value) ?? "missing");
    const range = least === Number.NEGATIVE_INFINITY ? "a number" : `a number above ${least}`;
    throw new UserError(`${where}: rope_scaling.${key} must be ${range}; it is ${shown}`);
  };
  if (number("partial_rotary_factor", 1) !== 1)
    throw new UserError(
      `${where}: rope_scaling.partial_rotary_factor is ${scaling!.partial_rotary_factor}; here all of a head is rotated (1)`,
      CANNOT_RUN,
    );
  const done = (frequencies: Float64Array, attentionScale = 1): RopeTables => {
    const inverseFrequencies = Float32Array.from(frequencies);
    if (!inverseFrequencies.every(Number.isFinite))
      throw new UserError(`${where}: rope_theta ${theta} and rope_scaling give frequencies that are not finite`);
    return { inverseFrequencies, attentionScale, theta };
  };
  if (kind === "default") return done(plain);
  if (kind === "dynamic") {
    number("factor", undefined, 0);
    if (scaling?.alpha !== undefined && scaling.alpha !== null)
      throw new UserError(
        `${where}: rope_scaling.alpha is ${JSON.stringify(scaling.alpha)}; dynamic scaling has no alpha here`,
        CANNOT_RUN,
      );
    return done(plain);
  }
  if (kind === "linear") {
    const factor = number("factor", undefined, 0);
    return done(plain.map((f) => f / factor));
  }
  if (kind === "llama3") {
    const [factor, low] = [number("factor", undefined, 0), number("low_freq_factor", undefined, 0)];
    const high = number("high_freq_factor", undefined, low);
    const original = number("original_max_position_embeddings", undefined, 0);
    return done(
      plain.map((f) => {
        const wavelength = (2 * Math.PI) / f;
        if (wavelength < original / high) return f;
        if (wavelength > original / low) return f / factor;
        const smooth = (original / wavelength - low) / (high - low);
        return ((1 - smooth) * f) / factor + smooth * f;
      }),
    );
  }
  if (kind === "yarn") return done(...yarn(plain, { headDim, theta, maxPositions, number, scaling: scaling! }));
  throw new UserError(
    `${where}: rope_scaling of type ${JSON.stringify(kind)} is not known`,
    "known are default, linear, dynamic, llama3 and yarn",
  );
}

function yarn(
  plain: Float64Array,
  given: {
    headDim: number;
    theta: number;
    maxPositions: number;
    number: (key: string, fallback?: number, least?: number) => number;
    scaling: Readonly<Record<string, unknown>>;
  },
): [Float64Array, number] {
  const { headDim, theta, maxPositions, number, scaling } = given;
  const original = number("original_max_position_embeddings", maxPositions, 0);
  const factor = number("factor", maxPositions / original, 0);
  const magnitude = (s: number, m = 1) => (s <= 1 ? 1 : 0.1 * m * Math.log(s) + 1);
  const [all, m] = [number("mscale_all_dim", 0), number("mscale", 0)];
  const attention = number(
    "attention_factor",
    m && all ? magnitude(factor, m) / magnitude(factor, all) : magnitude(factor),
    0,
  );
  const dimension = (turns: number) => (headDim * Math.log(original / (turns * 2 * Math.PI))) / (2 * Math.log(theta));
  let low = dimension(number("beta_fast", 32, 0));
  let high = dimension(number("beta_slow", 1, 0));
  if (scaling.truncate !== false) [low, high] = [Math.floor(low), Math.ceil(high)];
  low = Math.max(low, 0);
  high = Math.min(high, headDim - 1);
  if (low === high) high += 0.001;
  return [
    plain.map((f, i) => {
      const kept = 1 - Math.min(1, Math.max(0, (i - low) / (high - low)));
      return (f / factor) * (1 - kept) + f * kept;
    }),
    attention,
  ];
}
