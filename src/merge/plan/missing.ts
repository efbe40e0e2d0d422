/** Tensors that some of the models lack: refused, or with `--allow-missing` told and made from the others. */
import { UserError } from "../../errors.ts";
import type { NamedModel } from "../../model/names.ts";
import type { Notes } from "./notes.ts";

interface Gap {
  readonly lacks: string;
  readonly has: string;
  readonly names: string[];
}

/** Gathers gaps, one per model. */
export class Missing {
  readonly #allowed: boolean;
  readonly #notes: Notes;
  readonly #gaps = new Map<string, Gap>();

  constructor(allowed: boolean, notes: Notes) {
    this.#allowed = allowed;
    this.#notes = notes;
  }

  /** A model that is merged has no such tensor, but `has` does. */
  add(lacks: NamedModel, has: NamedModel, name: string): void {
    if (this.#allowed) this.#notes.add(`${lacks.ref} lacks it and is left out`, name);
    else this.#record(lacks, has, name);
  }

  /** The base has no such tensor; `align` says from which model it is taken then. */
  addBase(lacks: NamedModel, has: NamedModel, name: string): void {
    if (!this.#allowed) this.#record(lacks, has, name);
  }

  /** Throws a UserError for the first model that lacks something. */
  refuse(): void {
    for (const { lacks, has, names } of this.#gaps.values()) {
      const more = names.length > 1 ? ` and ${names.length - 1} more` : "";
      throw new UserError(
        `${lacks} lacks ${names[0]}${more}, which ${has} has`,
        "is it whole? --allow-missing makes such tensors from the models that have them",
      );
    }
  }

  #record(lacks: NamedModel, has: NamedModel, name: string): void {
    const gap = this.#gaps.get(lacks.ref);
    if (gap === undefined) this.#gaps.set(lacks.ref, { lacks: lacks.ref, has: has.ref, names: [name] });
    else if (gap.names.at(-1) !== name) gap.names.push(name);
  }
}
