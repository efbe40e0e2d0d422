/** Rows of a prompt and its answer, and whether a model that goes a way through its layers answers them right. */
import { collate } from "../../data/batch.ts";
import { countedTokens } from "../../data/dataset.ts";
import type { GroupReference } from "../../data/groups.ts";
import { readRows } from "../../data/read-rows.ts";
import type { LocatedRow } from "../../data/rows.ts";
import { encodeRow, type Sequence } from "../../data/sequences.ts";
import { UserError } from "../../errors.ts";
import type { Model } from "../../model/model.ts";
import { Scorer, type Scores } from "../scoring/scorer.ts";
import type { TextTools } from "../text-tools.ts";
import { MOST_TURNS, promptLength } from "./routers.ts";
import { givenTurns } from "./row-depth.ts";

export interface AskedRow {
  readonly located: LocatedRow;
  readonly sequence: Sequence;
}

/** Rows of a prompt and an answer. Throws UserError for others. */
export async function askedRows(groups: readonly GroupReference[], { encode }: TextTools): Promise<AskedRow[]> {
  const rows: AskedRow[] = [];
  for (const [group, source] of groups.entries())
    for await (const located of readRows(source)) {
      const [sequence, ...more] = encodeRow(located, { ...encode, group });
      const { place } = located;
      const asks = sequence && promptLength(sequence.labels) < sequence.ids.length && countedTokens(sequence) > 0;
      if (!asks || more.length > 0)
        throw new UserError(`${place}: the row has no prompt with an answer`, "give rows of prompt and completion");
      rows.push({ located, sequence });
    }
  if (rows.length === 0) throw new UserError("--data has no rows", "give rows of prompt and completion");
  return rows;
}

/** The tokens of a row's prompt. */
export const promptOf = ({ ids, labels }: Sequence): number[] => Array.from(ids.subarray(0, promptLength(labels)));

/** How a row is answered. */
export interface Answered {
  /** Whether every token of the answer is the likeliest one, so that greedy decoding gives it to the letter. */
  readonly isRight: boolean;
  /** -log likelihood of the answer, in nats a token. */
  readonly loss: number;
}

function answered({ targets, argmax, nll }: Scores, from: number, to: number): Answered {
  let [isRight, sum, counted] = [true, 0, 0];
  for (let i = from; i < to; i++) {
    if (targets[i]! < 0) continue;
    if (targets[i] !== argmax[i]) isRight = false;
    sum += nll[i]!;
    counted++;
  }
  return { isRight, loss: sum / counted };
}

/** Tries ways through the layers, each row its own. To be freed. */
export class WayScorer {
  readonly #scorer: Scorer;
  readonly #pad: number;
  #times: readonly (readonly number[])[] = [];

  /** `pad` is the token that fills rows up. */
  constructor(model: Model, pad: number) {
    const { layers } = model.sizes;
    this.#pad = pad;
    this.#scorer = new Scorer(model, undefined, {
      depth: givenTurns(layers, MOST_TURNS, (_, row) => this.#times[row]!),
    });
  }

  /** How rows are answered by a model that runs its layers as often as `times` says of each; one batch. */
  async score(rows: readonly Sequence[], times: readonly (readonly number[])[]): Promise<Answered[]> {
    this.#times = times;
    const batch = collate(
      rows.map((sequence) => [sequence]),
      { pad: this.#pad },
    );
    const scores = await this.#scorer.score(batch);
    return rows.map((_, row) => answered(scores, row * batch.length, (row + 1) * batch.length));
  }

  free(): Promise<void> {
    return this.#scorer.free();
  }
}
