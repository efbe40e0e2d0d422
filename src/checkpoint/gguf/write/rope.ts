/** The rotary embedding of a config as GGUF metadata, and Llama 3's factors as the tensor that llama.cpp reads. */
import { UserError } from "../../../errors.ts";
import { isObject, type JsonObject, show } from "../../../json.ts";
import type { GgufArchitecture } from "../architecture.ts";
import { LLAMA3_KEY, LONG_FACTORS, llama3Factors, longFactor, ROPE_FACTORS, SHORT_FACTORS } from "../rope.ts";
import { type Config, positiveOf } from "./config.ts";
import { text } from "./encode-header.ts";
import type { Put } from "./put.ts";

/** Tensors of factors by their names in the file. */
export type RotaryTables = ReadonlyMap<string, Float32Array>;

/** Values that llama.cpp takes for granted with yarn. */
const YARN = { beta_fast: 32, beta_slow: 1, truncate: true } as const;

/**
 * Adds the keys of rotary positions. Gives the tensors of factors that llama.cpp reads, of Llama 3 or of longrope.
 * Throws UserError for a kind of scaling that a GGUF file of this architecture does not express.
 */
export function addRope(
  put: Put,
  config: Config,
  { architecture, headSize }: { architecture: GgufArchitecture; headSize: number },
): RotaryTables {
  const { defaults = {} } = architecture;
  const together = isObject(config.rope_parameters) ? config.rope_parameters : undefined;
  const scaling = isObject(config.rope_scaling) ? config.rope_scaling : together;
  const theta = positiveOf(
    { rope_theta: scaling?.rope_theta ?? together?.rope_theta ?? config.rope_theta ?? null },
    "rope_theta",
    defaults.theta ?? 10_000,
  );
  const turning = turningValues(config, scaling, headSize, defaults.partial);
  put.u32("rope.dimension_count", turning);
  put.f32("rope.freq_base", theta);
  const kind = String(scaling?.rope_type ?? scaling?.type ?? "default");
  if (scaling === undefined || kind === "default") return new Map();
  if (Array.isArray(scaling.long_factor) && architecture.name === "phi3")
    return longrope(put, config, scaling, turning);
  if (kind === "llama3" && architecture.factors) return llama3(put, scaling, theta, turning);
  if (kind !== "linear" && kind !== "yarn") {
    const known = ["default", "linear", "yarn", ...(architecture.factors ? ["llama3"] : [])];
    throw new UserError(
      `config.json: rotary scaling ${show(kind)} has no form in a GGUF file of ${architecture.name} here`,
      `${known.slice(0, -1).join(", ")} and ${known.at(-1)} have one; write x.safetensors instead`,
    );
  }
  const factor = positiveOf(scaling, "factor", Number.NaN);
  if (kind === "yarn") {
    expectYarn(scaling, factor);
    const original = Number(config.original_max_position_embeddings ?? config.max_position_embeddings);
    put.u32("rope.scaling.original_context_length", positiveOf(scaling, "original_max_position_embeddings", original));
  }
  put.text("rope.scaling.type", kind);
  put.f32("rope.scaling.factor", factor);
  return new Map();
}

/** Values of a head that turn. Throws UserError for a part of it where llama.cpp turns whole heads. */
function turningValues(
  config: Config,
  scaling: JsonObject | undefined,
  headSize: number,
  partial: number | undefined,
): number {
  const given = scaling?.partial_rotary_factor ?? config.partial_rotary_factor ?? null;
  const share = positiveOf({ partial_rotary_factor: given }, "partial_rotary_factor", partial ?? 1);
  if (partial !== undefined || share === 1) return Math.floor(headSize * share);
  throw new UserError(
    `config.json: partial_rotary_factor is ${share}, which a GGUF file of this architecture cannot say`,
    "write x.safetensors or a folder instead",
  );
}

/** Throws UserError for a yarn whose numbers are not those that llama.cpp takes for granted. */
function expectYarn(scaling: JsonObject, factor: number): void {
  const refuse = (key: string, given: unknown) =>
    new UserError(
      `config.json: yarn with ${key} ${show(JSON.stringify(given))} has no form in a GGUF file here`,
      "write x.safetensors instead",
    );
  for (const [key, value] of Object.entries(YARN)) {
    const given = scaling[key] ?? undefined;
    if (given !== undefined && given !== value) throw refuse(key, given);
  }
  const usual = factor > 1 ? 0.1 * Math.log(factor) + 1 : 1;
  const attention = scaling.attention_factor ?? usual;
  if (typeof attention !== "number" || Math.abs(attention - usual) > 1e-6) throw refuse("attention_factor", attention);
}

function llama3(put: Put, scaling: JsonObject, theta: number, headSize: number): RotaryTables {
  const numbers = {
    factor: positiveOf(scaling, "factor", Number.NaN),
    low_freq_factor: positiveOf(scaling, "low_freq_factor", 1),
    high_freq_factor: positiveOf(scaling, "high_freq_factor", 4),
    original_max_position_embeddings: positiveOf(scaling, "original_max_position_embeddings", 8192),
  };
  put.entries.set(LLAMA3_KEY, text(JSON.stringify({ rope_type: "llama3", ...numbers })));
  return new Map([[ROPE_FACTORS, Float32Array.from(llama3Factors(numbers, headSize, theta))]]);
}

/** Phi's factors for short and long texts. Throws UserError where they do not fit the head. */
function longrope(put: Put, config: Config, scaling: JsonObject, turning: number): RotaryTables {
  const longest = Number(config.max_position_embeddings);
  const original = positiveOf(
    {
      ...scaling,
      original_max_position_embeddings:
        scaling.original_max_position_embeddings ?? config.original_max_position_embeddings ?? null,
    },
    "original_max_position_embeddings",
    longest,
  );
  const table = (key: "short_factor" | "long_factor") => {
    const values = Array.isArray(scaling[key]) ? scaling[key] : [];
    if (values.length === turning / 2 && values.every((one) => typeof one === "number" && one > 0)) {
      return Float32Array.from(values, Number);
    }
    throw new UserError(
      `config.json: ${key} has ${values.length} entries, expected ${turning / 2} numbers above 0`,
      "compare it with the model's page",
    );
  };
  const factor = longFactor(longest, original);
  const stated = scaling.attention_factor ?? factor;
  if (typeof stated !== "number" || Math.abs(stated - factor) > 1e-6) {
    throw new UserError(
      `config.json: longrope with attention_factor ${show(JSON.stringify(stated))} has no form in a GGUF file here`,
      "write x.safetensors instead",
    );
  }
  put.u32("rope.scaling.original_context_length", original);
  put.f32("rope.scaling.attn_factor", factor);
  return new Map([
    [LONG_FACTORS, table("long_factor")],
    [SHORT_FACTORS, table("short_factor")],
  ]);
}
