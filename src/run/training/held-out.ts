/** Held-out loss during training, per group of data. */
import { type Batch, collate, stackExamples } from "../../data/batch.ts";
import { inBatches, loadExamples, loadSequences } from "../../data/dataset.ts";
import { parseGroups } from "../../data/groups.ts";
import type { Model } from "../../model/model.ts";
import type { SlotPool } from "../../tensor/slots.ts";
import { checkLabels } from "../../train/command.ts";
import { Scorer } from "../scoring/scorer.ts";
import type { TextTools } from "./data-source.ts";

export interface GroupLoss {
  readonly name: string;
  readonly loss: number;
  readonly counted: number;
}

export class HeldOut {
  readonly #scorer: Scorer;
  readonly #groups: readonly { readonly name: string; readonly batches: readonly Batch[] }[];

  private constructor(scorer: Scorer, groups: HeldOut["groups"]) {
    this.#scorer = scorer;
    this.#groups = groups;
  }

  get groups() {
    return this.#groups;
  }

  /** Reads the groups into memory; undefined when there are none. Throws UserError for the first row that the model cannot take. */
  static async open(
    model: Model,
    values: readonly string[] | undefined,
    tools: TextTools | undefined,
    rows: number,
    slots: SlotPool,
  ): Promise<HeldOut | undefined> {
    if (!values || values.length === 0) return undefined;
    const groups: { name: string; batches: Batch[] }[] = [];
    for (const group of parseGroups(values)) {
      const batches: Batch[] = [];
      if (tools) {
        const { sequences } = await loadSequences([group], tools.encode);
        const pad = tools.tokenizer?.pad ?? 0;
        for await (const part of inBatches(sequences, rows))
          batches.push(
            collate(
              part.map((sequence) => [sequence]),
              { pad },
            ),
          );
      } else {
        const examples = await loadExamples([group]);
        checkLabels(examples, model.sizes.outputs, model.sizes.example);
        for await (const part of inBatches(examples, rows)) batches.push(stackExamples(part));
      }
      groups.push({ name: group.name, batches });
    }
    return new HeldOut(new Scorer(model, slots), groups);
  }

  /** Mean loss of every group, summed in f64. */
  async losses(): Promise<GroupLoss[]> {
    const losses: GroupLoss[] = [];
    for (const { name, batches } of this.#groups) {
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

  /** Mean over all tokens. */
  mean(losses: readonly GroupLoss[]): number {
    const counted = losses.reduce((sum, group) => sum + group.counted, 0);
    return losses.reduce((sum, group) => sum + (group.loss * group.counted) / counted, 0);
  }
}
