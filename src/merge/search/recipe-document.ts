/** A recipe as its YAML says it: what a search writes its numbers into. */
import type { Dtype } from "../../checkpoint/dtype.ts";
import type { Recipe, RecipeModule, TokenizerRecipe } from "../../checkpoint/lineage/recipe/recipe.ts";
import type { Parameters } from "../../checkpoint/lineage/recipe/settings.ts";
import { parseYaml } from "../../checkpoint/lineage/recipe/yaml.ts";
import { type ModelReference, referenceKey } from "../../checkpoint/reference.ts";
import { UserError } from "../../errors.ts";

export type Settings = Readonly<Record<string, unknown>>;

export interface DocumentModel {
  /** As mergekit's YAML names it: a text, or a map. */
  readonly model: unknown;
  readonly parameters?: Settings;
}

/** One recipe over whole models. */
export interface RecipeDocument {
  readonly merge_method: string;
  readonly base_model?: unknown;
  readonly models: readonly DocumentModel[];
  readonly parameters?: Settings;
  /** dtype, tokenizer and so on, as they are. */
  readonly rest: Settings;
}

const DTYPES: Partial<Record<Dtype, string>> = { F32: "float32", F16: "float16", BF16: "bfloat16" };

const spelled = (ref: ModelReference): string => referenceKey(ref);

const settingsOf = (parameters: Parameters): Settings => Object.fromEntries(parameters);

function tokenizerDocument({ source, padTo }: TokenizerRecipe): Settings {
  return {
    source: typeof source === "string" ? source : spelled(source),
    ...(padTo !== undefined && { pad_to_multiple_of: padTo }),
  };
}

/** The models of a recipe that lists whole ones. Throws UserError for slices, which fix what a search varies. */
function wholeModels(modules: readonly RecipeModule[], file: string) {
  const [only, ...more] = modules;
  if (!only || more.length > 0 || only.name !== undefined || only.body.kind !== "models")
    throw new UserError(
      `${file} is made of slices or modules, and a search varies recipes of whole models`,
      "list them under models; --layer-granularity cuts them into groups of layers",
    );
  return only.body.models;
}

/** The document of a recipe that the command line made. */
export function documentOf(recipe: Recipe): RecipeDocument {
  const { tokenizer, chatTemplate, dtype, outDtype, base } = recipe;
  return {
    merge_method: recipe.method,
    ...(base && { base_model: spelled(base) }),
    models: wholeModels(recipe.modules, recipe.file).map(({ ref, parameters }) => ({
      model: spelled(ref),
      ...(parameters.size > 0 && { parameters: settingsOf(parameters) }),
    })),
    ...(recipe.parameters.size > 0 && { parameters: settingsOf(recipe.parameters) }),
    rest: {
      ...(dtype && { dtype: DTYPES[dtype] }),
      ...(outDtype && { out_dtype: DTYPES[outDtype] }),
      ...(tokenizer && { tokenizer: tokenizerDocument(tokenizer) }),
      ...(chatTemplate && { chat_template: chatTemplate.wanted }),
    },
  };
}

/**
 * The document of a recipe file that was read as `recipe`; types that the command line gives stand in place of its own.
 */
export async function readDocument(text: string, recipe: Recipe): Promise<RecipeDocument> {
  wholeModels(recipe.modules, recipe.file);
  const [document] = await parseYaml(text, recipe.file);
  const { merge_method: method, base_model, models, parameters, ...rest } = document!.value as Record<string, unknown>;
  return {
    merge_method: String(method).trim(),
    ...(base_model !== undefined && base_model !== null ? { base_model } : {}),
    models: models as DocumentModel[],
    ...(parameters ? { parameters: parameters as Settings } : {}),
    rest: {
      ...rest,
      ...(recipe.dtype && { dtype: DTYPES[recipe.dtype] }),
      ...(recipe.outDtype && { out_dtype: DTYPES[recipe.outDtype] }),
    },
  };
}

/** YAML of a recipe; `remarks` stand above it as comments. */
export async function recipeYaml(document: Settings, remarks: readonly string[] = []): Promise<string> {
  const { stringify } = await import("yaml");
  const head = remarks.map((remark) => `# ${remark.replaceAll(/\s*\n\s*/g, " ")}\n`).join("");
  return head + stringify(document, { lineWidth: 0, aliasDuplicateObjects: false });
}
