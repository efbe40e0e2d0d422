/** Tensors that the adapter holds whole: those that changed, with the other tensors of their modules. */

import { TOKENIZER_FILE } from "../../checkpoint/adapter/adapter.ts";
import { nameInBase } from "../../checkpoint/adapter/changes.ts";
import { findTie } from "../../checkpoint/adapter/tie.ts";
import type { Checkpoint, TensorEntry } from "../../checkpoint/checkpoint.ts";
import { isFloat } from "../../checkpoint/dtype.ts";
import { sameBytes } from "../../checkpoint/same-bytes.ts";
import { UserError } from "../../errors.ts";
import { show } from "../../json.ts";
import type { Changes, Unfit, Whole } from "./changes.ts";
import { differs } from "./compare.ts";
import type { Known } from "./names.ts";

export interface HeldWhole {
  /** By name in the model. */
  readonly tensors: ReadonlyMap<string, TensorEntry>;
  /** Modules to save. */
  readonly modules: readonly string[];
  /** Some are biases of layers, which stand alone. */
  readonly biases: boolean;
  /** The embedding's name in the model where the head is the same tensor. */
  readonly tied: string | undefined;
  /** The tokenizer of a vocabulary that grew. */
  readonly files: ReadonlyMap<string, Uint8Array>;
}

/** Whether a tensor changed, or is new. */
const changed = async ({ tuned, base }: Pick<Whole, "tuned" | "base">): Promise<boolean> =>
  base === undefined || (await differs(tuned, base));

/** A head that the config ties to the embedding and that holds the same values is no tensor of its own. */
export async function isTiedCopy({ tuned }: Pick<Whole, "tuned">, model: Checkpoint): Promise<boolean> {
  const tie = findTie(model);
  const table = tie?.tied && tuned.name === tie.head ? model.tensors.get(tie.embedding) : undefined;
  return table !== undefined && sameBytes(table, tuned);
}

/** Compares what is to be held whole with the base, a piece at a time. */
export async function heldWhole(changes: Changes, tuned: Checkpoint, { nameOf }: Known): Promise<HeldWhole> {
  const modules = new Set<string>();
  const names = new Set<string>();
  let grown = false;
  let biases = false;
  for (const one of changes.whole) {
    if (!(await changed(one)) || (await isTiedCopy(one, tuned))) continue;
    names.add(one.name);
    grown ||= one.base === undefined;
    if (one.module === undefined) biases = true;
    else modules.add(one.module);
  }
  const tensors = new Map<string, TensorEntry>();
  for (const [stored, entry] of tuned.tensors) {
    const name = nameOf(stored);
    const owner = name.replace(/\.[^.]+$/, "");
    if ((names.has(name) || modules.has(owner)) && isFloat(entry.dtype)) tensors.set(name, entry);
  }
  const tie = findTie(tuned);
  const head = tie && nameInBase(tensors, tie.head);
  const tied = tie?.tied && head === undefined ? nameOf(tie.embedding) : undefined;
  const files = new Map(grown ? [...tuned.files].filter(([name]) => TOKENIZER_FILE.test(name)) : []);
  return { tensors, modules: [...modules], biases, tied, files };
}

/** Those that changed and that no adapter can hold. Throws UserError at the first unless they may be left out. */
export async function changedUnfit(unfit: readonly Unfit[], ref: string, skip: boolean): Promise<Unfit[]> {
  const found: Unfit[] = [];
  for (const one of unfit) {
    if (!(await differs(one.tuned, one.base))) continue;
    if (!skip)
      throw new UserError(
        `${show(one.name)} changed in ${ref}, and PEFT cannot hold it: ${one.why}`,
        "leave such tensors out with --skip-undecomposable, or with --exclude-regex",
      );
    found.push(one);
  }
  return found;
}
