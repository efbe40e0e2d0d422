/** The models of recipes, each opened once. */
import { existsSync } from "node:fs";
import type { Checkpoint } from "../../checkpoint/checkpoint.ts";
import { type Recipe, recipeReferences } from "../../checkpoint/lineage/recipe/recipe.ts";
import { open } from "../../checkpoint/open.ts";
import { openable, referenceKey } from "../../checkpoint/reference.ts";
import { isStream } from "../../checkpoint/stream/stream.ts";

/** Checkpoints by `referenceKey`, and the results of earlier recipes by name. */
export class OpenModels {
  readonly #opened = new Map<string, Checkpoint>();
  readonly #named: ReadonlyMap<string, string>;
  readonly #warn: (text: string) => void;

  /** `named`: results of earlier recipes, name to path; they win over files of the same name. */
  constructor(named: ReadonlyMap<string, string>, warn: (text: string) => void) {
    this.#named = named;
    this.#warn = warn;
  }

  /** Opens every model of a recipe that is not open yet. */
  async open(recipe: Recipe): Promise<ReadonlyMap<string, Checkpoint>> {
    for (const reference of recipeReferences(recipe)) {
      const key = referenceKey(reference);
      if (this.#opened.has(key)) continue;
      const typed = recipe.file === "command line" ? reference.path : openable(reference, existsSync);
      const path = reference.adapter ? typed : (this.#named.get(reference.path) ?? typed);
      this.#opened.set(key, await open(path, { warn: this.#warn }));
    }
    return this.#opened;
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
