/** rope_scaling of config.json from GGUF metadata or from the table of factors that llama.cpp keeps as a tensor. */
import { UserError } from "../../errors.ts";
import { isObject, parseJson, show } from "../../json.ts";
import { shortest } from "./numbers.ts";

/** Numbers of Llama 3's scaled rotary frequencies. */
interface Llama3 {
  readonly factor: number;
  readonly low_freq_factor: number;
  readonly high_freq_factor: number;
  readonly original_max_position_embeddings: number;
}

/** Llama 3's scaled rotary frequencies, kept as a tensor by llama.cpp and as numbers in config.json. */
export const ROPE_FACTORS = "rope_freqs.weight";

/** Longrope's factors, of texts longer than those of pretraining and of all others. */
export const LONG_FACTORS = "rope_factors_long.weight";
export const SHORT_FACTORS = "rope_factors_short.weight";

/** Tensors that describe rotary positions and are no weights. */
export const ROTARY_TABLES: readonly string[] = [ROPE_FACTORS, LONG_FACTORS, SHORT_FACTORS];

/** What longrope multiplies queries and keys by, where a text may be longer than those of pretraining. */
export const longFactor = (longest: number, original: number): number =>
  longest > original ? Math.sqrt(1 + Math.log(longest / original) / Math.log(original)) : 1;

/** Llama 3's numbers as ingot writes them, since the factors do not give all of them back. */
export const LLAMA3_KEY = "ingot.rope_scaling";

/** The numbers of Llama 3's formula, as `LLAMA3_KEY` states them; undefined when it does not. */
function statedFormula(formula: unknown, ref: string): Llama3 | undefined {
  if (typeof formula !== "string") return undefined;
  const { value } = parseJson(formula, `${ref}: ${LLAMA3_KEY}`);
  const number = (key: string) => (isObject(value) && typeof value[key] === "number" ? value[key] : Number.NaN);
  return {
    factor: number("factor"),
    low_freq_factor: number("low_freq_factor"),
    high_freq_factor: number("high_freq_factor"),
    original_max_position_embeddings: number("original_max_position_embeddings"),
  };
}

/**
 * rope_scaling from the metadata, or from Llama 3's table of factors, which is checked against the formula it came
 * from.
 */
export async function ropeScaling(
  number: (key: string) => number | undefined,
  type: unknown,
  given: {
    factors: Float32Array | undefined;
    long?: { readonly short: Float32Array; readonly long: Float32Array };
    formula?: unknown;
    headSize: number;
    theta: number;
    ref: string;
  },
): Promise<Record<string, unknown>> {
  const original = number("rope.scaling.original_context_length");
  if (given.long !== undefined) {
    const factors = (values: Float32Array) => Array.from(values, shortest);
    return {
      rope_scaling: {
        type: "longrope",
        short_factor: factors(given.long.short),
        long_factor: factors(given.long.long),
      },
      ...(original === undefined ? {} : { original_max_position_embeddings: original }),
    };
  }
  if (given.factors !== undefined) {
    const scaling: Llama3 = statedFormula(given.formula, given.ref) ?? {
      factor: shortest(given.factors.reduce((most, value) => Math.max(most, value), 1)),
      low_freq_factor: 1,
      high_freq_factor: 4,
      original_max_position_embeddings: original ?? 8192,
    };
    const { factors, headSize, theta } = given;
    const agrees =
      factors.length === Math.floor(headSize / 2) && // before as many are computed: metadata may say four billion
      llama3Factors(scaling, headSize, theta).every((value, i) => Math.abs(value - factors[i]!) <= 1e-3 * value);
    if (agrees) return { rope_scaling: { rope_type: "llama3", ...scaling } };
    throw new UserError(
      `${given.ref}: ${ROPE_FACTORS} does not follow Llama 3's formula, so config.json cannot express it`,
      "take the model in its original format instead",
    );
  }
  if (type !== undefined && type !== "none" && type !== "linear" && type !== "yarn") {
    throw new UserError(
      `${given.ref}: rope.scaling.type is ${show(String(type))}, which config.json is not made for`,
      "none, linear and yarn are read; take the model in its original format instead",
    );
  }
  const factor = number("rope.scaling.factor");
  if ((type !== "linear" && type !== "yarn") || factor === undefined) return {};
  const length = original === undefined ? {} : { original_max_position_embeddings: original };
  return { rope_scaling: { rope_type: type, factor: shortest(factor), ...length } };
}

/**
 * What each rotary frequency is divided by (transformers' `_compute_llama3_parameters`): 1 for fast ones, `factor` for
 * slow.
 */
export function llama3Factors(scaling: Llama3, headSize: number, theta: number): number[] {
  const { factor, low_freq_factor: low, high_freq_factor: high, original_max_position_embeddings: length } = scaling;
  return Array.from({ length: Math.floor(headSize / 2) }, (_, i) => {
    const turns = length / (2 * Math.PI * theta ** ((2 * i) / headSize)); // over the original context
    if (turns > high) return 1;
    if (turns < low) return factor;
    const smooth = (turns - low) / (high - low);
    return 1 / ((1 - smooth) / factor + smooth);
  });
}
