/**
 * adapter_config.json of a PEFT LoRA adapter: what it asks for, checked, and the scale of each module.
 *
 * Fields and defaults are those of PEFT's LoraConfig. Whatever changes the result and is not known here is refused,
 * because an adapter that is half applied looks like a bad model and not like an error.
 */
import { UserError } from "../../errors.ts";
import { decodeText, isObject, type JsonObject, parseJson, show } from "../../json.ts";
import { compilePattern, type Pattern, PatternBudget } from "../../text/pattern/pattern.ts";
import { refuseForeignConfig } from "./foreign.ts";

export interface AdapterConfig {
  readonly rank: number;
  readonly alpha: number;
  /** Before the factors, while training. */
  readonly dropout: number;
  readonly rslora: boolean;
  readonly rankPattern: readonly ValuedPattern[];
  readonly alphaPattern: readonly ValuedPattern[];
  readonly fanInFanOut: boolean;
  readonly dora: boolean;
  /** lora_B has a bias. */
  readonly loraBias: boolean;
  readonly bias: "none" | "all" | "lora_only";
  readonly modulesToSave: readonly string[];
  readonly ensureWeightTying: boolean;
  /** Rows that were trained, for all token embeddings or by module name. */
  readonly tokenIndices: readonly number[] | ReadonlyMap<string, readonly number[]> | undefined;
  /** Set only where every module that matches should have tensors: a plain list without exclusions. */
  readonly targets: readonly string[] | undefined;
  /** Parameters that are adapted themselves, by the ends of their names. */
  readonly targetParameters: readonly string[];
  /** Which PEFT made it; older ones do not say. */
  readonly peftVersion: string | undefined;
}

interface ValuedPattern {
  readonly pattern: Pattern;
  readonly value: number;
}

/**
 * Initialisations that move part of W into A and B, so that the adapter fits only the base that was left (W - s B0 A0).
 */
const MUTATES_BASE = /^(pissa(_niter_\d+)?|olora|corda|lora_ga|loftq)$/;

/** Variants whose tensors mean something else than W + s B A. */
const UNKNOWN_VARIANTS = [
  "alora_invocation_tokens",
  "arrow_config",
  "kasa_config",
  "monteclora_config",
  "use_bdlora",
  "use_qalora",
  "layer_replication",
] as const;

const isSet = (value: unknown): boolean =>
  value !== undefined &&
  value !== null &&
  value !== false &&
  !(typeof value === "object" && Object.keys(value as object).length === 0);

/**
 * Reads adapter_config.json. `where` names the adapter in messages. Throws UserError for anything but LoRA and DoRA,
 * for variants that are not implemented, and for adapters whose training changed the base.
 */
export function readAdapterConfig(bytes: Uint8Array | undefined, where: string): AdapterConfig {
  if (bytes === undefined) {
    throw new UserError(
      `${where} has adapter tensors but no adapter_config.json`,
      "copy adapter_config.json beside the adapter's tensors; lora_alpha, which sets its strength, is only there",
    );
  }
  const file = `${where}: adapter_config.json`;
  const raw = parseObject(bytes, file);
  const fail = (field: string, expected: string): UserError =>
    new UserError(`${file}: ${field} is ${JSON.stringify(raw[field])}, expected ${expected}`);

  refuseForeignConfig(raw, where);
  const init = raw.init_lora_weights;
  if (typeof init === "string" && MUTATES_BASE.test(init)) {
    throw new UserError(
      `${where} was initialised by ${init}, which changed its base: it does not fit the original base`,
      "convert it to a plain LoRA first, as PEFT does with path_initial_model_for_weight_conversion",
    );
  }
  for (const field of UNKNOWN_VARIANTS) {
    if (isSet(raw[field])) {
      throw new UserError(
        `${where} uses ${field}, which cannot be applied here`,
        "merge it into its base with PEFT, then pass the merged folder",
      );
    }
  }

  const number = (field: string, fallback: number): number => {
    const value = raw[field] ?? fallback;
    if (typeof value !== "number" || !Number.isFinite(value)) throw fail(field, "a number");
    return value;
  };
  const names = (field: string): string[] => {
    const value = raw[field] ?? [];
    if (!Array.isArray(value) || !value.every((name) => typeof name === "string")) throw fail(field, "a list of names");
    return value;
  };
  const rank = number("r", 8);
  if (!Number.isInteger(rank) || rank < 1) throw fail("r", "a whole number from 1");
  const bias = raw.bias ?? "none";
  if (bias !== "none" && bias !== "all" && bias !== "lora_only") throw fail("bias", "none, all or lora_only");
  if (isSet(raw.use_dora) && isSet(raw.lora_bias)) throw fail("lora_bias", "false with use_dora");
  const budget = new PatternBudget();
  const narrowed = ["exclude_modules", "layers_to_transform", "layers_pattern"].some((field) => isSet(raw[field]));

  return {
    rank,
    alpha: number("lora_alpha", 8),
    dropout: number("lora_dropout", 0),
    rslora: raw.use_rslora === true,
    rankPattern: readPatterns(raw, "rank_pattern", file, budget),
    alphaPattern: readPatterns(raw, "alpha_pattern", file, budget),
    fanInFanOut: raw.fan_in_fan_out === true,
    dora: raw.use_dora === true,
    loraBias: isSet(raw.lora_bias),
    bias,
    modulesToSave: names("modules_to_save"),
    ensureWeightTying: raw.ensure_weight_tying === true,
    tokenIndices: readTokenIndices(raw.trainable_token_indices, file),
    targets: Array.isArray(raw.target_modules) && !narrowed ? names("target_modules") : undefined,
    targetParameters: names("target_parameters"),
    peftVersion: typeof raw.peft_version === "string" ? raw.peft_version : undefined,
  };
}

/** alpha / r, or alpha / sqrt(r) for rsLoRA, with the alpha that the module's pattern names. `rank` is lora_A's. */
export function scaleOf(config: AdapterConfig, module: string, rank: number): number {
  const alpha = firstMatch(config.alphaPattern, module) ?? config.alpha;
  return config.rslora ? alpha / Math.sqrt(rank) : alpha / rank;
}

/** The rank that the config promises for a module; the tensor decides, this is for a warning. */
export const rankOf = (config: AdapterConfig, module: string): number =>
  firstMatch(config.rankPattern, module) ?? config.rank;

/** Rank and alpha that a config's patterns give a module; undefined where none fits. Throws UserError. */
export function patternedStrength(
  json: JsonObject,
  where: string,
): (module: string) => { readonly rank: number | undefined; readonly alpha: number | undefined } {
  const file = `${where}: adapter_config.json`;
  const budget = new PatternBudget();
  const ranks = readPatterns(json, "rank_pattern", file, budget);
  const alphas = readPatterns(json, "alpha_pattern", file, budget);
  const odd = ranks.find(({ value }) => !Number.isInteger(value));
  if (odd) throw new UserError(`${file}: rank_pattern gives a rank of ${odd.value}, expected a whole number`);
  return (module) => ({ rank: firstMatch(ranks, module), alpha: firstMatch(alphas, module) });
}

const firstMatch = (patterns: readonly ValuedPattern[], module: string): number | undefined =>
  patterns.find(({ pattern }) => pattern.matchesEnd(module))?.value;

/** A JSON file that must hold an object. */
export function parseObject(bytes: Uint8Array, what: string): JsonObject {
  const { value } = parseJson(decodeText(bytes, what), what);
  if (!isObject(value)) throw new UserError(`${what} is not a JSON object`, "the file is damaged or of another kind");
  return value;
}

/**
 * Keys are regular expressions in PEFT's dialect, matched against the end of the module's name; the first that fits
 * counts.
 */
function readPatterns(
  raw: Record<string, unknown>,
  field: string,
  file: string,
  budget: PatternBudget,
): ValuedPattern[] {
  const value = raw[field] ?? {};
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new UserError(`${file}: ${field} is ${JSON.stringify(value)}, expected an object`);
  }
  return Object.entries(value).map(([key, entry]) => {
    if (typeof entry !== "number" || !Number.isFinite(entry) || entry <= 0) {
      throw new UserError(
        `${file}: ${field} gives ${JSON.stringify(entry)} for ${show(key)}, expected a number above 0`,
      );
    }
    try {
      return { pattern: compilePattern(key, budget), value: entry };
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      throw new UserError(`${file}: ${field}: ${error.message}`, error.hint);
    }
  });
}

function readTokenIndices(value: unknown, file: string): AdapterConfig["tokenIndices"] {
  const list = (entry: unknown): number[] => {
    if (!Array.isArray(entry) || !entry.every((index) => Number.isSafeInteger(index) && index >= 0)) {
      throw new UserError(`${file}: trainable_token_indices has ${JSON.stringify(entry)}, expected token numbers`);
    }
    return entry;
  };
  if (value === undefined || value === null) return undefined;
  if (Array.isArray(value)) return list(value);
  if (typeof value !== "object") return list(value);
  return new Map(Object.entries(value).map(([module, entry]) => [module, list(entry)]));
}
