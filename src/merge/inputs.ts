/** Opening the models of recipes, each once, and saying in the lineage what they were. */
import { existsSync } from "node:fs";
import type { Checkpoint, LineageEntry } from "../checkpoint/checkpoint.ts";
import { open, splitAdapter } from "../checkpoint/open.ts";
import { isStream } from "../checkpoint/stream.ts";
import { openable, referenceKey } from "./plan/reference.ts";
import { type Recipe, recipeReferences } from "./recipe.ts";

/** Checkpoints by `referenceKey`, and the results of earlier recipes by name. */
export class Inputs {
  readonly #opened = new Map<string, Checkpoint>();
  readonly #named: ReadonlyMap<string, string>;
  readonly #warn: (text: string) => void;

  /** `named`: results of earlier recipes, name to path; they win over files of that name. */
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

  get all(): readonly Checkpoint[] {
    return [...this.#opened.values()];
  }

  /** True when one of them can be read only once, in order. */
  get streamed(): boolean {
    return this.all.some(isStream);
  }

  /** Checks that streams ended where their headers say. */
  async finish(): Promise<void> {
    for (const checkpoint of this.all) if (isStream(checkpoint)) await checkpoint.finish();
  }

  close(): void {
    for (const checkpoint of this.all) checkpoint.close();
  }
}

/**
 * How an input is named in lineage. One that ingot made is named by the run that made it, so that a result has the same bytes
 * whether its input came through a pipe, from a file or from a folder; any other by what the user wrote and its header.
 */
export function lineageInput(checkpoint: Checkpoint, role: string): LineageEntry["inputs"][number] {
  const made = checkpoint.lineage.at(-1);
  if (made) {
    const adapter = splitAdapter(checkpoint.ref)?.adapter;
    return { ref: `run:${made.run}${adapter === undefined ? "" : `+${adapter}`}`, role };
  }
  const { ref, revision, headerSha256 } = checkpoint;
  return { ref, role, ...(revision === undefined ? {} : { revision }), header_sha256: headerSha256 };
}
