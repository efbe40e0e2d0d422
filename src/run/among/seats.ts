/**
 * The batches and rates of a training that several clients share, one after the other. It gives the batches of the
 * client that sits, and tells the training which step of the schedule a client's own step is.
 */
import type { BatchSource } from "../training/batch-source.ts";

export class Seats<B> implements BatchSource<B> {
  readonly groups: BatchSource<B>["groups"];
  readonly batchesPerEpoch: number;
  readonly #largest: B;
  #source: BatchSource<B>;
  /** Steps of the schedule that a client's own steps are behind. */
  #behind = 0;
  /** What the rate is multiplied by. */
  rate = 1;

  /** `whole` is all data, of which every client has a part. Throws RangeError for no clients. */
  constructor(
    whole: Pick<BatchSource<B>, "groups" | "batchesPerEpoch" | "largest">,
    sources: readonly BatchSource<B>[],
  ) {
    const [first] = sources;
    if (!first) throw new RangeError("no clients");
    this.#source = first;
    this.groups = whole.groups;
    this.#largest = whole.largest();
    // Clients go through their parts at the same time.
    this.batchesPerEpoch = Math.max(1, Math.round(whole.batchesPerEpoch / sources.length));
  }

  /** The next batches are of this source; its next step, from 1 + `done`, is step 1 + `scheduled` of the schedule. */
  sit(source: BatchSource<B>, done: number, scheduled: number): void {
    this.#source = source;
    this.#behind = scheduled - done;
  }

  /** The step of the schedule that a client's own step is. */
  scheduled(step: number): number {
    return step + this.#behind;
  }

  largest(): B {
    return this.#largest;
  }

  next() {
    return this.#source.next();
  }

  state() {
    return this.#source.state();
  }

  load(state: unknown, what: string): void {
    this.#source.load(state, what);
  }
}
