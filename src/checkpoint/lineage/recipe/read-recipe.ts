/** Reads recipes from YAML. Every message points at the place of the mistake. */

import { UserError } from "../../../errors.ts";
import { didYouMean } from "../../../method/nearest.ts";
import { type Dtype, parseDtype } from "../../dtype.ts";
import { type ModelReference, parseReference, referenceKey } from "../../reference.ts";
import type {
  Recipe,
  RecipeBody,
  RecipeModule,
  RecipeSlice,
  RecipeSource,
  TokenizerRecipe,
  TokenRule,
  TokenSource,
} from "./recipe.ts";
import type { Conditional, Parameters, Scalar, Setting } from "./settings.ts";
import { type Path, parseYaml, type YamlDocument } from "./yaml.ts";

const TOKENIZER_KEYS = ["tokenizer", "tokenizer_source", "chat_template"];
const TOP_KEYS = [
  ...["merge_method", "models", "slices", "modules", "base_model", "parameters", "dtype", "out_dtype", "name"],
  ...TOKENIZER_KEYS,
  "out_path", // of mergekit-mega, whose recipes named each other by it
];
const NO_PARAMETERS: Parameters = new Map();

/** The types a recipe may name: those in which a merge can be computed. */
export function recipeDtype(text: string): Dtype | undefined {
  const dtype = parseDtype(text);
  return dtype === "F32" || dtype === "F16" || dtype === "BF16" ? dtype : undefined;
}

type Fields = Record<string, unknown>;

/**
 * Reads every recipe of a YAML text. Throws a UserError that names file, line and column for anything that is not YAML
 * or not a recipe. What mergekit would pass over in silence is in the `warnings` of each recipe.
 */
export async function parseRecipe(text: string, file: string): Promise<Recipe[]> {
  const documents = await parseYaml(text, file);
  if (documents.length === 0) throw new UserError(`${file} is empty`, "a recipe has at least merge_method and models");
  return documents.map((document) => new RecipeReader(document, file).recipe());
}

class RecipeReader {
  private readonly warnings: string[] = [];
  private readonly document: YamlDocument;
  private readonly file: string;

  constructor(document: YamlDocument, file: string) {
    this.document = document;
    this.file = file;
  }

  recipe(): Recipe {
    const top = this.fields(this.document.value, [], "a recipe");
    for (const key of Object.keys(top)) {
      if (!TOP_KEYS.includes(key)) {
        if (key === "experts" || key === "gate_mode")
          throw this.fail([key], "this is a recipe of a mixture of experts", "run it with: bun run merge moe RECIPE");
        if (key === "genome")
          throw this.fail(
            [key],
            "this is a file of mergekit-evolve",
            "add --search, --budget and --data NAME=rows.jsonl",
          );
        throw this.fail([key], `unknown key ${key}`, didYouMean(key, TOP_KEYS) ?? `known: ${TOP_KEYS.join(", ")}`);
      }
    }
    const tokenizer = this.tokenizer(top);
    const method = this.text(top.merge_method, ["merge_method"], "merge_method");
    const base = this.optional(top.base_model, (value) => this.reference(value, ["base_model"]));
    const name = this.name(top);
    const chatTemplate = this.optional(top.chat_template, (value) => ({
      wanted: this.text(value, ["chat_template"], "chat_template") && String(value),
      fail: (message: string, hint?: string) => this.fail(["chat_template"], message, hint),
    }));
    const dtype = this.optional(top.dtype, (value) => this.dtype(value, ["dtype"]));
    const outDtype = this.optional(top.out_dtype, (value) => this.dtype(value, ["out_dtype"]));
    return {
      file: this.file,
      method,
      modules: this.modules(top),
      parameters: this.parameters(top.parameters, ["parameters"]),
      warnings: this.warnings,
      ...(tokenizer !== undefined && { tokenizer }),
      ...(chatTemplate !== undefined && { chatTemplate }),
      ...(name !== undefined && { name }),
      ...(base !== undefined && { base }),
      ...(dtype !== undefined && { dtype }),
      ...(outDtype !== undefined && { outDtype }),
    };
  }

  /** What other recipes of the file call this one's result. */
  private name(top: Fields): string | undefined {
    const [key] = ["name", "out_path"].filter((one) => top[one] !== undefined && top[one] !== null);
    if (key === undefined) return undefined;
    if (key === "out_path")
      this.warnings.push(
        this.fail([key], "out_path is what other recipes call the result; -o says where it goes").message,
      );
    return this.text(top[key], [key], key);
  }

  /** The vocabulary that a recipe asks for, by `tokenizer` or, in older ones, `tokenizer_source`. */
  private tokenizer(top: Fields): TokenizerRecipe | undefined {
    const given = ["tokenizer", "tokenizer_source"].filter((key) => top[key] !== undefined && top[key] !== null);
    if (given.length === 0) return undefined;
    if (given.length > 1)
      throw this.fail(["tokenizer_source"], "tokenizer and tokenizer_source both choose it", "keep tokenizer");
    const path = [given[0]!];
    const fail = (message: string, hint?: string) => this.fail(path, message, hint);
    const value = top[given[0]!];
    if (typeof value === "string") return { source: this.tokenizerSource(value, path), tokens: [], fail };
    const fields = this.fields(value, path, "tokenizer");
    this.known(fields, path, ["source", "tokens", "pad_to_multiple_of"]);
    const source = this.tokenizerSource(fields.source ?? "union", [...path, "source"]);
    const rules = this.optional(fields.tokens, (tokens) => this.fields(tokens, [...path, "tokens"], "tokens")) ?? {};
    const tokens = Object.entries(rules).map(([token, rule]) =>
      this.tokenRule(token, rule, [...path, "tokens", token]),
    );
    const padTo = this.optional(fields.pad_to_multiple_of, (multiple) => {
      if (Number.isSafeInteger(multiple) && (multiple as number) > 0) return multiple as number;
      const at = [...path, "pad_to_multiple_of"];
      throw this.fail(at, `pad_to_multiple_of must be a number of rows, found ${spell(multiple)}`);
    });
    return { source, tokens, fail, ...(padTo !== undefined && { padTo }) };
  }

  private tokenizerSource(value: unknown, path: Path): TokenizerRecipe["source"] {
    if (value === "union" || value === "base") return value;
    return this.reference(typeof value === "string" ? value.replace(/^model:/, "") : value, path);
  }

  private tokenRule(token: string, value: unknown, path: Path): TokenRule {
    const fields = this.fields(value ?? {}, path, `the rule of ${token}`);
    this.known(fields, path, ["source", "force"]);
    const { force = false } = fields;
    if (typeof force !== "boolean")
      throw this.fail([...path, "force"], `force must be true or false, found ${spell(force)}`);
    const source = this.optional(fields.source, (given) => this.tokenSource(given, [...path, "source"]));
    return { token, force, ...(source !== undefined && { source }) };
  }

  private tokenSource(value: unknown, path: Path): TokenSource {
    const kind = typeof value === "object" && value !== null ? (value as Fields).kind : undefined;
    if (kind === undefined) return { kind: "model", ref: this.reference(value, path) };
    const fields = value as Fields;
    if (kind === "zero" || kind === "mean" || kind === "pieces" || kind === "numeral") return { kind };
    if (kind !== "model_token")
      throw this.fail(
        [...path, "kind"],
        `kind must be model_token, zero, mean, pieces or numeral, found ${spell(kind)}`,
      );
    this.known(fields, path, ["kind", "model", "token", "token_id"]);
    const ref = this.reference(fields.model, [...path, "model"]);
    const { token, token_id: id } = fields;
    if ((token === undefined) === (id === undefined))
      throw this.fail(path, "a model_token has either token or token_id");
    if (typeof token === "string") return { kind: "token", ref, token };
    if (isIndex(id)) return { kind: "token", ref, token: id };
    throw this.fail(path, `expected the text of a token or its id, found ${spell(token ?? id)}`);
  }

  private fail(path: Path, message: string, hint?: string): UserError {
    return this.document.error(path, message, hint);
  }

  private optional<T>(value: unknown, read: (value: unknown) => T): T | undefined {
    return value === undefined || value === null ? undefined : read(value);
  }

  private fields(value: unknown, path: Path, what: string): Fields {
    if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as Fields;
    throw this.fail(path, `${what} must be a map, found ${spell(value)}`);
  }

  private list(value: unknown, path: Path, what: string): unknown[] {
    if (Array.isArray(value) && value.length > 0) return value;
    throw this.fail(path, `${what} must be a list with at least one entry, found ${spell(value)}`);
  }

  private text(value: unknown, path: Path, what: string): string {
    if (typeof value === "string" && value.trim() !== "") return value.trim();
    throw this.fail(path, `${what} must be a name, found ${spell(value)}`);
  }

  /** Unknown keys below the top level are ignored, as in mergekit, but with a warning. */
  private known(fields: Fields, path: Path, keys: readonly string[]): void {
    for (const key of Object.keys(fields)) {
      if (keys.includes(key)) continue;
      const place = this.fail([...path, key], `${key} is unknown here and is ignored`).message;
      const guess = didYouMean(key, keys);
      this.warnings.push(guess === undefined ? place : `${place}; ${guess}`);
    }
  }

  private dtype(value: unknown, path: Path): Dtype {
    const dtype = typeof value === "string" ? recipeDtype(value) : undefined;
    if (dtype !== undefined) return dtype;
    throw this.fail(path, `${path.at(-1)} must be float32, float16 or bfloat16, found ${spell(value)}`);
  }

  private reference(value: unknown, path: Path): ModelReference {
    if (typeof value === "string" || typeof value === "number") {
      try {
        return parseReference(String(value));
      } catch (cause) {
        throw cause instanceof UserError ? this.fail(path, cause.message, cause.hint) : cause;
      }
    }
    const fields = this.fields(value, path, "a model");
    // {path, revision} alone is what mergekit nests under `model`.
    const nested = fields.model === undefined ? fields : fields.model;
    const model = this.located(nested, fields.model === undefined ? path : [...path, "model"]);
    if (fields.model !== undefined) this.known(fields, path, ["model", "lora", "override_architecture"]);
    const adapter = this.optional(fields.lora, (lora) => this.located(lora, [...path, "lora"]));
    return adapter === undefined ? model : { ...model, adapter };
  }

  private located(value: unknown, path: Path): { path: string; revision?: string } {
    if (typeof value === "string") return { path: value };
    const fields = this.fields(value, path, "a model");
    const location = this.text(fields.path, [...path, "path"], "the path of a model");
    const revision = this.optional(fields.revision, (text) => String(text));
    return revision === undefined ? { path: location } : { path: location, revision };
  }

  private modules(top: Fields): RecipeModule[] {
    if (top.modules === undefined || top.modules === null) {
      return [{ body: this.body(top, []), parameters: NO_PARAMETERS }];
    }
    if (top.models || top.slices) throw this.fail(["modules"], "modules cannot stand beside models or slices");
    const modules = this.fields(top.modules, ["modules"], "modules");
    if (Object.keys(modules).length === 0) throw this.fail(["modules"], "modules is empty");
    return Object.entries(modules).map(([name, value]) => {
      const path = ["modules", name];
      const fields = this.fields(value, path, `module ${name}`);
      this.known(fields, path, ["models", "slices", "parameters"]);
      return {
        name,
        body: this.body(fields, path),
        parameters: this.parameters(fields.parameters, [...path, "parameters"]),
      };
    });
  }

  private body(fields: Fields, path: Path): RecipeBody {
    const given = ["models", "slices"].filter((key) => fields[key] !== undefined && fields[key] !== null);
    if (given.length !== 1) {
      const found = given.length === 0 ? "neither" : "both";
      throw this.fail(
        path,
        `expected either models or slices, found ${found}`,
        "list the models to merge under models",
      );
    }
    if (given[0] === "models") {
      const at = [...path, "models"];
      const models = this.list(fields.models, at, "models").map((value, i) => this.source(value, [...at, i], false));
      return { kind: "models", models };
    }
    const at = [...path, "slices"];
    return {
      kind: "slices",
      slices: this.list(fields.slices, at, "slices").map((value, i) => this.slice(value, [...at, i])),
    };
  }

  private slice(value: unknown, path: Path): RecipeSlice {
    const fields = this.fields(value, path, "a slice");
    this.known(fields, path, ["sources", "base_model", "parameters", "residual_weight"]);
    const at = [...path, "sources"];
    const sources = this.list(fields.sources, at, "sources").map((source, i) => this.source(source, [...at, i], true));
    const lengths = sources.map((source) => source.layers![1] - source.layers![0]);
    const odd = lengths.findIndex((length) => length !== lengths[0]);
    if (odd > 0) {
      const message = `the sources of a slice must have equally many layers, found ${lengths[0]} in ${referenceKey(sources[0]!.ref)} and ${lengths[odd]} in ${referenceKey(sources[odd]!.ref)}`;
      throw this.fail([...at, odd, "layer_range"], message);
    }
    const base = this.optional(fields.base_model, (ref) => this.reference(ref, [...path, "base_model"]));
    const parameters = this.parameters(fields.parameters, [...path, "parameters"]);
    return base === undefined ? { sources, parameters } : { sources, base, parameters };
  }

  private source(value: unknown, path: Path, sliced: boolean): RecipeSource {
    const fields = this.fields(value, path, sliced ? "a source" : "an entry of models");
    this.known(fields, path, sliced ? ["model", "layer_range", "parameters"] : ["model", "parameters"]);
    if (fields.model === undefined || fields.model === null) throw this.fail(path, "expected the key model");
    const ref = this.reference(fields.model, [...path, "model"]);
    const parameters = this.parameters(fields.parameters, [...path, "parameters"]);
    if (!sliced) return { ref, parameters };
    const range = fields.layer_range;
    const [first, end] = Array.isArray(range) ? (range as unknown[]) : [];
    if (!Array.isArray(range) || range.length !== 2 || !isIndex(first) || !isIndex(end) || first >= end) {
      const hint = "write [first, end): [0, 16] means layers 0 to 15";
      throw this.fail([...path, "layer_range"], `layer_range must be [first, end), found ${spell(range)}`, hint);
    }
    return { ref, layers: [first, end], parameters };
  }

  private parameters(value: unknown, path: Path): Parameters {
    if (value === undefined || value === null) return NO_PARAMETERS;
    const parameters = new Map<string, Setting>();
    for (const [name, setting] of Object.entries(this.fields(value, path, "parameters"))) {
      if (setting !== null) parameters.set(name, this.setting(setting, [...path, name], name));
    }
    return parameters;
  }

  private setting(value: unknown, path: Path, name: string): Setting {
    if (isScalar(value)) return value;
    if (!Array.isArray(value)) return [this.conditional(value, path, name)];
    if (value.length === 0) throw this.fail(path, `${name} is an empty list`);
    if (value.every(isScalar)) return value;
    return value.map((entry, i) => this.conditional(entry, [...path, i], name));
  }

  private conditional(entry: unknown, path: Path, name: string): Conditional {
    const hint = "write a number, a list of numbers, or a list of {filter, value}";
    if (isScalar(entry)) throw this.fail(path, `${name} mixes plain values and {filter, value}`, hint);
    const fields = this.fields(entry, path, `an entry of ${name}`);
    this.known(fields, path, ["filter", "pattern", "value"]);
    const { value } = fields;
    const [key, filter] = fields.filter === undefined ? ["pattern", fields.pattern] : ["filter", fields.filter]; // older recipes
    if (!isScalar(value) && !(Array.isArray(value) && value.length > 0 && value.every(isScalar))) {
      throw this.fail(path, `the value of ${name} must be a scalar or a list, found ${spell(value)}`, hint);
    }
    if (filter === undefined || filter === null) return { value };
    if (typeof filter !== "string") throw this.fail([...path, key], `${key} must be text, found ${spell(filter)}`);
    return { filter, value };
  }
}

const isScalar = (value: unknown): value is Scalar =>
  typeof value === "number" || typeof value === "boolean" || typeof value === "string";

const isIndex = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;

function spell(value: unknown): string {
  if (value === undefined || value === null) return "nothing";
  if (Array.isArray(value)) {
    // What is nested is not shown: an anchor can make it contain itself.
    const plain = value.length <= 4 && value.every((item) => typeof item !== "object");
    return plain ? `the list ${JSON.stringify(value)}` : `a list of ${value.length}`;
  }
  return typeof value === "object" ? "a map" : `${JSON.stringify(value)}`;
}
