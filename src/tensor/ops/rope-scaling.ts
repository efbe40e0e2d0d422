/**
 * Frequencies of rotary positions as Hugging Face computes them: default, linear, dynamic, llama3, yarn
 * (https://arxiv.org/abs/2309.00071) and longrope (https://arxiv.org/abs/2402.13753). Dynamic scaling is the default up
 * to `max_position_embeddings`, which no sequence exceeds here; with Hunyuan's alpha it is another base at any length.
 */
import { UserError } from "../../errors.ts";

export interface RopeTables {
  /** (R / 2) for the R values of a head that turn, f32 as the reference holds them. */
  readonly inverseFrequencies: Float32Array;
  /** Multiplies cosine and sine. */
  readonly attentionScale: number;
  /** Base of the frequencies before scaling. */
  readonly theta: number;
  /** Values 2 i and 2 i + 1 are a pair rather than i and i + R / 2. */
  readonly interleaved?: boolean;
  /** Multiplies cosine and sine at position p with 1 + beta ln(1 + floor(p / original)). */
  readonly growth?: { readonly beta: number; readonly original: number };
  /** Documents of more than `original` tokens turn by these from their first token on. */
  readonly long?: { readonly inverseFrequencies: Float32Array; readonly original: number };
}

export interface RopeConfig {
  /** Values of a head that turn. */
  readonly headDim: number;
  readonly theta: number;
  /** `rope_scaling` of config.json. */
  readonly scaling?: Readonly<Record<string, unknown>> | undefined;
  readonly maxPositions: number;
  /** Names the config in messages. */
  readonly where: string;
}

/** What a kind of scaling computes with. */
interface Given extends RopeConfig {
  /** (R / 2) unscaled. */
  readonly plain: Float64Array;
  /** A number of `rope_scaling`. Throws UserError where it is missing without `fallback`, or not above `least`. */
  number(key: string, fallback?: number, least?: number): number;
}

/** Frequencies, what multiplies cosine and sine, and the frequencies of long documents. */
interface Scaled {
  readonly frequencies: Float64Array;
  readonly attentionScale?: number;
  readonly long?: { readonly frequencies: Float64Array; readonly original: number };
}

const KINDS: Readonly<Record<string, (given: Given) => Scaled>> = {
  default: ({ plain }) => ({ frequencies: plain }),
  linear({ plain, number }) {
    const factor = number("factor", undefined, 0);
    return { frequencies: plain.map((f) => f / factor) };
  },
  dynamic,
  llama3,
  yarn,
  longrope,
};

/** Throws UserError for a kind of scaling that is not known, and for a missing number. */
export function ropeTables(config: RopeConfig): RopeTables {
  const { headDim, theta, scaling, where } = config;
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
  const scaled = typeof kind === "string" && Object.hasOwn(KINDS, kind) ? KINDS[kind] : undefined;
  if (!scaled)
    throw new UserError(
      `${where}: rope_scaling of type ${JSON.stringify(kind)} is not known`,
      `known are ${Object.keys(KINDS).join(", ")}`,
    );
  const finite = (frequencies: Float64Array): Float32Array => {
    const rounded = Float32Array.from(frequencies);
    if (rounded.every(Number.isFinite)) return rounded;
    throw new UserError(`${where}: rope_theta ${theta} and rope_scaling give frequencies that are not finite`);
  };
  const { frequencies, attentionScale = 1, long } = scaled({ ...config, plain, number });
  return {
    inverseFrequencies: finite(frequencies),
    attentionScale,
    theta,
    ...(long ? { long: { inverseFrequencies: finite(long.frequencies), original: long.original } } : {}),
  };
}

function dynamic({ plain, headDim, theta, scaling, number }: Given): Scaled {
  number("factor", undefined, 0);
  if (scaling?.alpha === undefined || scaling.alpha === null) return { frequencies: plain };
  const base = theta * number("alpha", undefined, 0) ** (headDim / (headDim - 2));
  return { frequencies: plain.map((_, i) => base ** (-(2 * i) / headDim)) };
}

function llama3({ plain, number }: Given): Scaled {
  const [factor, low] = [number("factor", undefined, 0), number("low_freq_factor", undefined, 0)];
  const high = number("high_freq_factor", undefined, low);
  const original = number("original_max_position_embeddings", undefined, 0);
  const frequencies = plain.map((f) => {
    const wavelength = (2 * Math.PI) / f;
    if (wavelength < original / high) return f;
    if (wavelength > original / low) return f / factor;
    const smooth = (original / wavelength - low) / (high - low);
    return ((1 - smooth) * f) / factor + smooth * f;
  });
  return { frequencies };
}

function yarn({ plain, headDim, theta, maxPositions, number, scaling }: Given): Scaled {
  const original = number("original_max_position_embeddings", maxPositions, 0);
  const factor = number("factor", maxPositions / original, 0);
  const magnitude = (s: number, m = 1) => (s <= 1 ? 1 : 0.1 * m * Math.log(s) + 1);
  const [all, m] = [number("mscale_all_dim", 0), number("mscale", 0)];
  const attentionScale = number(
    "attention_factor",
    m && all ? magnitude(factor, m) / magnitude(factor, all) : magnitude(factor),
    0,
  );
  const dimension = (turns: number) => (headDim * Math.log(original / (turns * 2 * Math.PI))) / (2 * Math.log(theta));
  let low = dimension(number("beta_fast", 32, 0));
  let high = dimension(number("beta_slow", 1, 0));
  if (scaling?.truncate !== false) [low, high] = [Math.floor(low), Math.ceil(high)];
  low = Math.max(low, 0);
  high = Math.min(high, headDim - 1);
  if (low === high) high += 0.001;
  const frequencies = plain.map((f, i) => {
    const kept = 1 - Math.min(1, Math.max(0, (i - low) / (high - low)));
    return (f / factor) * (1 - kept) + f * kept;
  });
  return { frequencies, attentionScale };
}

/** Every pair's frequency over a factor of its own: of one list up to the original length, of another beyond it. */
function longrope({ plain, maxPositions, number, scaling, where }: Given): Scaled {
  const divided = (key: string) => {
    const factors = factorsOf(scaling?.[key], plain.length, `${where}: rope_scaling.${key}`);
    return plain.map((f, i) => f / factors[i]!);
  };
  const original = number("original_max_position_embeddings", maxPositions, 0);
  const factor = number("factor", maxPositions / original, 0);
  const grown = factor <= 1 ? 1 : Math.sqrt(1 + Math.log(factor) / Math.log(original));
  return {
    frequencies: divided("short_factor"),
    attentionScale: number("attention_factor", grown, 0),
    long: { frequencies: divided("long_factor"), original },
  };
}

/** A factor for every pair. Throws UserError. */
function factorsOf(value: unknown, half: number, what: string): readonly number[] {
  const fits = Array.isArray(value) && value.every((f) => typeof f === "number" && f > 0 && Number.isFinite(f));
  if (fits && value.length === half) return value;
  const shown = fits ? `there are ${value.length}` : `it is ${JSON.stringify(value)?.slice(0, 60) ?? "missing"}`;
  throw new UserError(
    `${what} must be ${half} numbers above 0, one for each pair that turns; ${shown}`,
    "compare it with the model's page",
  );
}
