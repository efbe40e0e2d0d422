/**
 * What the server's weights make of clients' rows: their losses, by which a client orders its rows and the server
 * chooses clients.
 */
import type { Model } from "../../model/model.ts";
import type { ClientRows } from "../../run/among/client-rows.ts";
import { rowLosses } from "../../run/scoring/row-losses.ts";
import { Scorer } from "../../run/scoring/scorer.ts";

/** Losses of a client's rows under the model as it is; a row that counts nothing has that of none, 0. */
export async function lossesOf(
  model: Model,
  { items }: Pick<ClientRows, "items">,
  given: { readonly rows: number; readonly pad: number; readonly signal: AbortSignal },
): Promise<number[]> {
  const scorer = new Scorer(model);
  const found = await rowLosses(scorer, items, given);
  await scorer.free();
  return found.map(({ mean }) => (Number.isNaN(mean) ? 0 : mean));
}

/**
 * The clients of a round by their mean losses: those with the lowest at first, and further up the list as rounds go.
 * Vahidian et al., ICCV 2023, https://arxiv.org/abs/2212.12712
 */
export function chosenByLoss(losses: readonly number[], count: number, round: number, rounds: number): number[] {
  const order = losses.map((_, client) => client).sort((a, b) => losses[a]! - losses[b]! || a - b);
  const first = Math.round(((losses.length - count) * round) / Math.max(1, rounds - 1));
  return order.slice(first, first + count).sort((a, b) => a - b);
}
