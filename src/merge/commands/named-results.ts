/**
 * Results of the named recipes of a file, on which later ones build: in a temporary folder, or with `--multi` in one
 * that stays, where a result that is finished already is not made again.
 */
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Checkpoint, LineageEntry, TensorInfo } from "../../checkpoint/checkpoint.ts";
import { parseRecipe } from "../../checkpoint/lineage/recipe/read-recipe.ts";
import type { Recipe } from "../../checkpoint/lineage/recipe/recipe.ts";
import { open } from "../../checkpoint/open.ts";
import { UserError } from "../../errors.ts";
import { show } from "../../json.ts";
import { type Context, textOf } from "./given-recipes.ts";

/** What a recipe would write. */
export interface Wanted {
  readonly recipe: Recipe;
  readonly tensors: readonly TensorInfo[];
  readonly lineage: readonly LineageEntry[];
}

/** A name that is one component of a path, and no flag or hidden file. */
export const isPlain = (name: string): boolean => /^[^\p{Cc}/\\:~.-][^\p{Cc}/\\:]*$/u.test(name);

/** Throws UserError where the results have no place of their own, or there is no recipe to name them. */
export function namedResults(context: Context, recipes: readonly Recipe[]): NamedResults {
  const kept = textOf(context, "multi");
  const again = context.options.lazy === false;
  if (again && kept === undefined)
    throw new UserError("--no-lazy makes finished results of --multi again, and there is no --multi", "leave it out");
  const [{ file } = { file: "" }] = recipes;
  if (kept !== undefined && file === "command line")
    throw new UserError("--multi is for a file of several recipes", "name a recipe: ingot merge recipes.yml");
  const odd = kept === undefined ? undefined : recipes.slice(0, -1).find(({ name }) => !isPlain(name!));
  if (odd)
    throw new UserError(
      `${file}: the name ${show(odd.name!)} cannot be a folder in ${kept}`,
      "name recipes in letters, digits and dashes",
    );
  return new NamedResults(context, kept, again);
}

export class NamedResults {
  readonly #context: Context;
  readonly #kept: string | undefined;
  readonly #again: boolean;
  #temporary: string | undefined;

  constructor(context: Context, kept: string | undefined, again: boolean) {
    this.#context = context;
    this.#kept = kept;
    this.#again = again;
  }

  /** Whether results stay. */
  get keeps(): boolean {
    return this.#kept !== undefined;
  }

  /** Where the result of a named recipe goes. */
  pathOf({ name }: Recipe): string {
    if (this.#kept !== undefined) return join(this.#kept, name!);
    if (this.#temporary === undefined) {
      const folder = mkdtempSync(join(tmpdir(), "ingot-recipes-"));
      this.#context.onExit(() => rmSync(folder, { recursive: true, force: true }));
      this.#temporary = folder;
    }
    return join(this.#temporary, `${Bun.hash.xxHash64(name!).toString(16)}.safetensors`);
  }

  /**
   * Whether `path` holds what a recipe makes: all its tensors, made by this version from this recipe and these inputs.
   * Throws UserError where what is there was not made by a recipe of this name.
   */
  async isFinished(path: string, wanted: Wanted): Promise<boolean> {
    if (this.#kept === undefined || path === "-" || /^hf:|\.gguf$/.test(path) || !existsSync(path)) return false;
    const found = await this.#open(path);
    if (found === undefined) return false;
    try {
      const [made, want] = [found.lineage.at(-1), wanted.lineage.at(-1)!];
      const isOurs = made?.script === "merge" && (await recipeIn(made, wanted.recipe)) !== undefined;
      if (!isOurs && wanted.recipe.name !== undefined)
        throw new UserError(
          `${path} is no result of a recipe named ${wanted.recipe.name}`,
          "move it away, rename the recipe, or keep the results in another folder",
        );
      const same = isOurs && (await spelled(made, wanted.recipe)) === (await spelled(want, wanted.recipe));
      return same && !this.#again && isWhole(found, wanted.tensors);
    } finally {
      found.close();
    }
  }

  /** What lies there; undefined for a checkpoint that is not whole. */
  async #open(path: string): Promise<Checkpoint | undefined> {
    try {
      return await open(path, { warn: () => {} });
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      this.#context.info(`${path} is not whole and is made again: ${error.message}`);
      return undefined;
    }
  }
}

function isWhole({ tensors }: Checkpoint, wanted: readonly TensorInfo[]): boolean {
  const isThere = ({ name, dtype, shape }: TensorInfo) => {
    const entry = tensors.get(name);
    return entry?.dtype === dtype && String(entry.shape) === String(shape);
  };
  return tensors.size === wanted.length && wanted.every(isThere);
}

/** The recipe of this name that a step kept; undefined where it kept none. */
async function recipeIn({ options }: LineageEntry, { name }: Recipe): Promise<Recipe | undefined> {
  if (typeof options.recipe !== "string") return undefined;
  const all = await parseRecipe(options.recipe, "lineage").catch(() => []);
  return all.find((recipe) => recipe.name === name);
}

/** A step, of its file of recipes the one that it ran: others of the file may change. */
async function spelled(step: LineageEntry, recipe: Recipe): Promise<string> {
  const { run: _run, time: _time, options, ...rest } = step;
  const one = { ...(await recipeIn(step, recipe)), file: undefined, warnings: undefined };
  const plain = (_: string, value: unknown) => (value instanceof Map ? [...value] : value);
  return JSON.stringify({ ...rest, options: { ...options, recipe: one } }, plain);
}
