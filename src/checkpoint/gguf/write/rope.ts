/** The rotary embedding of a config as GGUF metadata, and Llama 3's factors as the tensor that llama.cpp reads. */
import { UserError } from "../../../errors.ts";
import { isObject, type JsonObject, show } from "../../../json.ts";
import { LLAMA3_KEY, llama3Factors } from "../rope.ts";
import { type Config, positiveOf } from "./config.ts";
import { f32, type GgufEntries, text, u32 } from "./encode-header.ts";

/** Values that llama.cpp takes for granted with yarn. */
const YARN = { beta_fast: 32, beta_slow: 1, attention_factor: undefined, truncate: true } as const;

/**
 * Adds the keys to `entries`, `prefix` before each. Gives Llama 3's factors (headSize / 2), or nothing. Throws
 * UserError for a kind of scaling that GGUF metadata does not express.
 */
export function addRope(
  entries: GgufEntries,
  config: Config,
  { prefix, headSize }: { prefix: string; headSize: number },
): Float32Array | undefined {
  const together = isObject(config.rope_parameters) ? config.rope_parameters : undefined;
  const scaling = isObject(config.rope_scaling) ? config.rope_scaling : together;
  const theta = positiveOf(
    { rope_theta: scaling?.rope_theta ?? together?.rope_theta ?? config.rope_theta ?? null },
    "rope_theta",
    10_000,
  );
  entries.set(`${prefix}.rope.freq_base`, f32(theta));
  const kind = String(scaling?.rope_type ?? scaling?.type ?? "default");
  if (scaling === undefined || kind === "default") return undefined;
  const original = () =>
    positiveOf(scaling, "original_max_position_embeddings", Number(config.max_position_embeddings));
  if (kind === "llama3") return llama3(entries, scaling, theta, headSize);
  if (kind !== "linear" && kind !== "yarn") {
    throw new UserError(
      `config.json: rotary scaling ${show(kind)} has no form in a GGUF file here`,
      "default, linear, yarn and llama3 have one; write x.safetensors instead",
    );
  }
  if (kind === "yarn") {
    for (const [key, value] of Object.entries(YARN)) {
      const given = scaling[key] ?? undefined;
      if (given === undefined || given === value) continue;
      throw new UserError(
        `config.json: yarn with ${key} ${show(JSON.stringify(given))} has no form in a GGUF file here`,
        "write x.safetensors instead",
      );
    }
    entries.set(`${prefix}.rope.scaling.original_context_length`, u32(original()));
  }
  entries.set(`${prefix}.rope.scaling.type`, text(kind));
  entries.set(`${prefix}.rope.scaling.factor`, f32(positiveOf(scaling, "factor", Number.NaN)));
  return undefined;
}

function llama3(entries: GgufEntries, scaling: JsonObject, theta: number, headSize: number): Float32Array {
  const numbers = {
    factor: positiveOf(scaling, "factor", Number.NaN),
    low_freq_factor: positiveOf(scaling, "low_freq_factor", 1),
    high_freq_factor: positiveOf(scaling, "high_freq_factor", 4),
    original_max_position_embeddings: positiveOf(scaling, "original_max_position_embeddings", 8192),
  };
  entries.set(LLAMA3_KEY, text(JSON.stringify({ rope_type: "llama3", ...numbers })));
  return Float32Array.from(llama3Factors(numbers, headSize, theta));
}
