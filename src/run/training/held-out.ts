/** Held-out loss during training, per group of data. */
import type { ExampleReader } from "../../data/examples.ts";
import { type GroupReference, parseGroups } from "../../data/groups.ts";
import { Split } from "../../data/split.ts";
import { UserError } from "../../errors.ts";
import type { Model } from "../../model/model.ts";
import type { SlotPool } from "../../tensor/slots.ts";
import { type ReadBatches, readBatches } from "../batches-in-order.ts";
import { Scorer } from "../scoring/scorer.ts";
import type { TextTools } from "../text-tools.ts";

/** Held-out rows of a group, in batches. */
export interface HeldOutGroup extends ReadBatches {
  readonly name: string;
}

export interface GroupLoss {
  readonly name: string;
  /** Mean over the positions that count; NaN where none does. */
  readonly loss: number;
  readonly counted: number;
  /** Further means over what counts, by name. */
  readonly metrics?: Readonly<Record<string, number>>;
}

/** What measures held-out losses of a model as it is now. */
export interface HeldOutLosses {
  readonly groups: readonly { readonly name: string }[];
  /** `values` are numbers of the step that an objective takes. */
  losses(values?: Readonly<Record<string, number>>): Promise<readonly GroupLoss[]>;
}

/** The same, with memory of its own. */
export interface HeldOutMeasure extends HeldOutLosses {
  free(): Promise<void>;
}

/** Which rows are held out. */
export interface HeldOutOptions {
  readonly eval_data?: readonly string[] | undefined;
  readonly eval_split?: number | undefined;
  readonly columns?: string | undefined;
}

/** What --eval-split holds out; undefined without it. Throws UserError beside --eval-data. */
export function splitOf({ eval_data, eval_split }: HeldOutOptions, seed: number): Split | undefined {
  if (eval_split === undefined) return undefined;
  if (eval_data && eval_data.length > 0)
    throw new UserError("both --eval-data and --eval-split say what is held out", "give one of them");
  return new Split(eval_split, seed);
}

/** The groups of held-out rows, in files of their own or what `split` left out of those that it divided. */
export const heldOutGroups = (options: HeldOutOptions, split: Split | undefined): readonly GroupReference[] =>
  split ? split.heldOut : parseGroups(options.eval_data ?? [], options.columns, "--eval-data");

/**
 * Reads groups of held-out rows into memory, `rows` a batch. Throws UserError for the first row that the model cannot
 * take.
 */
export async function readHeldOut(
  references: readonly GroupReference[],
  model: { readonly tools: TextTools | undefined; readonly examples: ExampleReader },
  rows: number,
): Promise<HeldOutGroup[]> {
  const groups: HeldOutGroup[] = [];
  for (const group of references) groups.push({ name: group.name, ...(await readBatches([group], model, rows)) });
  return groups;
}

/** Mean over the positions of all groups. */
export function meanOfGroups(losses: readonly GroupLoss[]): number {
  const counted = losses.reduce((sum, group) => sum + group.counted, 0);
  return losses.reduce((sum, group) => sum + (group.loss * group.counted) / counted, 0);
}

/** Further means over the positions of all groups, of what all of them have. */
export function meansOfGroups(losses: readonly GroupLoss[]): Record<string, number> {
  const [first, ...others] = losses;
  const names = Object.keys(first?.metrics ?? {}).filter((name) =>
    others.every(({ metrics }) => metrics?.[name] !== undefined),
  );
  return Object.fromEntries(
    names.map((name) => [name, meanOfGroups(losses.map((group) => ({ ...group, loss: group.metrics![name]! })))]),
  );
}

/** Scores a model on held-out groups as often as it is asked. */
export class HeldOut implements HeldOutMeasure {
  readonly groups: readonly HeldOutGroup[];
  readonly #scorer: Scorer;

  /** `slots`: memory of activations that it may use between the runs of others. */
  constructor(model: Model, groups: readonly HeldOutGroup[], slots?: SlotPool) {
    this.groups = groups;
    this.#scorer = new Scorer(model, slots);
  }

  /** Losses of every group, summed in f64. */
  async losses(): Promise<GroupLoss[]> {
    const losses: GroupLoss[] = [];
    for (const { name, batches } of this.groups) {
      const scores = await Promise.all(batches.map((batch) => this.#scorer.score(batch)));
      let loss = 0;
      let counted = 0;
      for (const { nll, targets } of scores) {
        for (const [i, target] of targets.entries()) {
          if (target < 0) continue;
          loss += nll[i]!;
          counted++;
        }
      }
      losses.push({ name, loss: loss / counted, counted });
    }
    return losses;
  }

  async free(): Promise<void> {
    await this.#scorer.free();
  }
}
