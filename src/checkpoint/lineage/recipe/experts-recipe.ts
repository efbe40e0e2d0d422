/**
 * Recipes of mixtures of experts, in the YAML of mergekit-moe (https://github.com/arcee-ai/mergekit), unchanged. Every
 * message points at the place of the mistake.
 */

import { UserError } from "../../../errors.ts";
import { didYouMean } from "../../../method/nearest.ts";
import type { Dtype } from "../../dtype.ts";
import { type ModelReference, parseReference, referenceKey } from "../../reference.ts";
import { recipeDtype } from "./read-recipe.ts";
import { type Path, parseYaml, type YamlDocument } from "./yaml.ts";

/** How rows of routers are made. The last two are not mergekit's. */
export const GATE_MODES = [
  ...["hidden", "hidden_last", "hidden_avg", "cheap_embed", "random", "uniform_random"],
  ...["small_random", "centroid"],
] as const;
export type GateMode =
  | "hidden"
  | "hidden_last"
  | "hidden_avg"
  | "cheap_embed"
  | "random"
  | "uniform_random"
  | "small_random"
  | "centroid";

/** Modes whose rows are made of prompts. */
export const asksForPrompts = (mode: GateMode): boolean => mode.startsWith("hidden") || mode === "cheap_embed";

export interface ExpertRecipe {
  readonly ref: ModelReference;
  readonly positive: readonly string[];
  readonly negative: readonly string[];
  /** Standard deviation of noise on the matrices of the feed-forward network. */
  readonly noise: number;
  /** Multiplies the last matrix of the feed-forward network. */
  readonly scale: number;
}

export interface MoeRecipe {
  /** The file it was read from, or "command line". */
  readonly file: string;
  readonly base: ModelReference;
  readonly mode: GateMode;
  /** Type of all floats of the result; as they are stored when undefined. */
  readonly dtype?: Dtype;
  readonly perToken: number;
  readonly experts: readonly ExpertRecipe[];
  readonly shared: readonly ExpertRecipe[];
  readonly architecture?: string;
  readonly warnings: readonly string[];
}

const KEYS = ["base_model", "gate_mode", "dtype", "experts_per_token", "experts", "shared_experts", "architecture"];
const EXPERT_KEYS = ["source_model", "positive_prompts", "negative_prompts", "noise_scale", "residual_scale"];

const spell = (value: unknown): string =>
  typeof value === "object" && value !== null ? "a list or a map" : String(value);

type Fields = Record<string, unknown>;

/** Reads one document. Throws UserError with its place for what is not a recipe of experts. */
export async function parseMoeRecipe(text: string, file: string): Promise<MoeRecipe> {
  const documents = await parseYaml(text, file);
  if (documents.length !== 1)
    throw new UserError(`${file} holds ${documents.length} documents, expected one recipe of experts`);
  return new Reader(documents[0]!, file).recipe();
}

class Reader {
  readonly #document: YamlDocument;
  readonly #file: string;
  readonly #warnings: string[] = [];

  constructor(document: YamlDocument, file: string) {
    this.#document = document;
    this.#file = file;
  }

  recipe(): MoeRecipe {
    const top = this.#fields(this.#document.value, []);
    if ("merge_method" in top)
      throw this.#fail(
        ["merge_method"],
        "this is a recipe of a merge, not of experts",
        "run it with: bun run merge RECIPE",
      );
    this.#known(top, [], KEYS);
    const mode = top.gate_mode ?? "hidden";
    if (!GATE_MODES.some((known) => known === mode))
      throw this.#fail(
        ["gate_mode"],
        `unknown gate_mode ${spell(mode)}`,
        didYouMean(String(mode), GATE_MODES) ?? `known: ${GATE_MODES.join(", ")}`,
      );
    const dtype = top.dtype === undefined || top.dtype === null ? undefined : recipeDtype(String(top.dtype));
    if (top.dtype !== undefined && top.dtype !== null && dtype === undefined)
      throw this.#fail(["dtype"], `dtype must be float32, float16 or bfloat16, found ${spell(top.dtype)}`);
    const perToken = top.experts_per_token ?? 2;
    if (!Number.isSafeInteger(perToken) || (perToken as number) < 1)
      throw this.#fail(
        ["experts_per_token"],
        `experts_per_token must be a number of experts, found ${spell(perToken)}`,
      );
    const architecture = top.architecture ?? undefined;
    if (architecture !== undefined && typeof architecture !== "string")
      throw this.#fail(["architecture"], `architecture must be a name, found ${spell(architecture)}`);
    return {
      file: this.#file,
      base: this.#reference(top.base_model, ["base_model"]),
      mode: mode as GateMode,
      perToken: perToken as number,
      experts: this.#experts(top.experts, "experts"),
      shared: top.shared_experts ? this.#experts(top.shared_experts, "shared_experts") : [],
      warnings: this.#warnings,
      ...(dtype && { dtype }),
      ...(architecture !== undefined && { architecture }),
    };
  }

  #experts(value: unknown, key: string): ExpertRecipe[] {
    if (!Array.isArray(value) || value.length === 0)
      throw this.#fail([key], `${key} must be a list with at least one entry, found ${spell(value)}`);
    return value.map((entry, i) => {
      const path = [key, i];
      const fields = this.#fields(entry, path);
      this.#known(fields, path, EXPERT_KEYS);
      return {
        ref: this.#reference(fields.source_model, [...path, "source_model"]),
        positive: this.#prompts(fields.positive_prompts, [...path, "positive_prompts"]),
        negative: this.#prompts(fields.negative_prompts, [...path, "negative_prompts"]),
        noise: this.#number(fields.noise_scale, [...path, "noise_scale"], 0, 0),
        scale: this.#number(fields.residual_scale, [...path, "residual_scale"], 1),
      };
    });
  }

  #prompts(value: unknown, path: Path): string[] {
    if (value === undefined || value === null) return [];
    const texts = Array.isArray(value) ? value : [value];
    const bad = texts.findIndex((text) => !["string", "number"].includes(typeof text) || text === "");
    if (bad >= 0) throw this.#fail([...path, bad], `a prompt must be a text, found ${spell(texts[bad])}`);
    return texts.map(String);
  }

  #number(value: unknown, path: Path, absent: number, least = Number.NEGATIVE_INFINITY): number {
    if (value === undefined || value === null) return absent;
    if (typeof value === "number" && Number.isFinite(value) && value >= least) return value;
    throw this.#fail(
      path,
      `${path.at(-1)} must be a number${least === 0 ? " of at least 0" : ""}, found ${spell(value)}`,
    );
  }

  #reference(value: unknown, path: Path): ModelReference {
    if (typeof value === "string" && value.trim() !== "") {
      try {
        return parseReference(value);
      } catch (cause) {
        throw cause instanceof UserError ? this.#fail(path, cause.message, cause.hint) : cause;
      }
    }
    const fields = this.#fields(value, path, `${path.at(-1)} must name a model`);
    const model = this.#located(fields.model ?? fields, path);
    return fields.lora === undefined || fields.lora === null
      ? model
      : { ...model, adapter: this.#located(fields.lora, [...path, "lora"]) };
  }

  #located(value: unknown, path: Path): { path: string; revision?: string } {
    if (typeof value === "string" && value !== "") return { path: value };
    const { path: where, revision } = this.#fields(value, path, `${path.at(-1)} must name a model`);
    if (typeof where !== "string" || where === "") throw this.#fail(path, "a model needs a path");
    return revision === undefined || revision === null ? { path: where } : { path: where, revision: String(revision) };
  }

  #fields(
    value: unknown,
    path: Path,
    what = path.length === 0 ? "a recipe must be a map" : "an expert must be a map",
  ): Fields {
    if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as Fields;
    throw this.#fail(path, `${what}, found ${spell(value)}`);
  }

  #known(fields: Fields, path: Path, keys: readonly string[]): void {
    for (const key of Object.keys(fields))
      if (!keys.includes(key))
        throw this.#fail([...path, key], `unknown key ${key}`, didYouMean(key, keys) ?? `known: ${keys.join(", ")}`);
  }

  #fail(path: Path, message: string, hint?: string): UserError {
    return this.#document.error(path, message, hint);
  }
}

/** Every model of the recipe once: the base first. */
export function moeReferences({ base, experts, shared }: MoeRecipe): ModelReference[] {
  const all = [base, ...[...experts, ...shared].map(({ ref }) => ref)];
  return [...new Map(all.map((ref) => [referenceKey(ref), ref])).values()];
}
