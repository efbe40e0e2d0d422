/** The models of recipes, each opened once. */
import { existsSync } from "node:fs";
import type { Checkpoint } from "../../checkpoint/checkpoint.ts";
import { type Recipe, recipeReferences } from "../../checkpoint/lineage/recipe/recipe.ts";
import { open } from "../../checkpoint/open.ts";
import { type Located, type ModelReference, openable, referenceKey } from "../../checkpoint/reference.ts";
import { isStream } from "../../checkpoint/stream/stream.ts";
import { UserError } from "../../errors.ts";

/** Checkpoints by `referenceKey`, and the results of earlier recipes by name. */
export class OpenModels {
  readonly #opened = new Map<string, Checkpoint>();
  readonly #named: ReadonlyMap<string, string | Checkpoint>;
  readonly #warn: (text: string) => void;

  /** `named`: results of earlier recipes by name, paths or as planned; they win over files of the same name. */
  constructor(named: ReadonlyMap<string, string | Checkpoint>, warn: (text: string) => void) {
    this.#named = named;
    this.#warn = warn;
  }

  /** Opens every model of a recipe that is not open yet. */
  async open(recipe: Recipe): Promise<ReadonlyMap<string, Checkpoint>> {
    for (const reference of recipeReferences(recipe)) {
      const key = referenceKey(reference);
      if (this.#opened.has(key)) continue;
      const made = reference.adapter ? undefined : this.#named.get(reference.path);
      if (typeof made === "object") this.#opened.set(key, made);
      else this.#opened.set(key, await open(made ?? this.#pathOf(recipe, reference), { warn: this.#warn }));
    }
    return this.#opened;
  }

  /** Where a model lies, results of earlier recipes among its parts. */
  #pathOf(recipe: Recipe, reference: ModelReference): string {
    if (recipe.file === "command line") return reference.path;
    const part = (located: Located): Located => {
      const made = this.#named.get(located.path);
      if (typeof made !== "object") return made === undefined ? located : { path: made };
      const message = `${referenceKey(reference)} needs ${located.path}, which is only planned`;
      throw new UserError(message, "make it first, and keep it with --multi DIR");
    };
    const adapter = reference.adapter && { adapter: part(reference.adapter) };
    return openable({ ...part(reference), ...adapter }, existsSync);
  }

  get opened(): readonly Checkpoint[] {
    return [...this.#opened.values()];
  }

  /** True when one of them is a pipe: it can be read only once, in order. */
  get streamed(): boolean {
    return this.opened.some(isStream);
  }

  /** Checks that streams ended where their headers say. */
  async finish(): Promise<void> {
    for (const checkpoint of this.opened) if (isStream(checkpoint)) await checkpoint.finish();
  }

  close(): void {
    for (const checkpoint of this.opened) checkpoint.close();
  }
}
