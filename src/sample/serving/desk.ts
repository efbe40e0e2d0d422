/**
 * Where requests wait for the GPU: a lane for each model. Of a model that writes alone answers come and go, each in a
 * row of its own; of several that write together a batch is made to its end before the next begins. Texts that are
 * judged come between. What is drawn for an answer depends on its seed and key alone, so what runs beside it changes
 * nothing.
 */
import type { Choice } from "./choice.ts";
import { ApiError } from "./errors.ts";
import type { TokenLog } from "./log-probs.ts";
import type { Asked, ServedModel, Waited } from "./served-model.ts";

interface Judged {
  readonly asked: Asked;
  resolve(told: readonly TokenLog[]): void;
  reject(error: unknown): void;
}

/** Lets what has come since be heard. */
const pause = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

class Lane {
  readonly #model: ServedModel;
  readonly #batch: number;
  #answers: Waited[] = [];
  #texts: Judged[] = [];
  #busy: Promise<void> | undefined;

  constructor(model: ServedModel, batch: number) {
    this.#model = model;
    this.#batch = batch;
  }

  get waiting(): number {
    return this.#answers.length + this.#texts.length;
  }

  idle(): Promise<void> | undefined {
    return this.#busy;
  }

  write(choice: Choice): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const one: Waited = { choice, resolve, reject };
    this.#answers.push(one);
    const leave = () => {
      this.#answers = this.#answers.filter((each) => each !== one);
    };
    return this.#settled(promise, reject, choice.signal, leave);
  }

  judge(asked: Asked, signal: AbortSignal): Promise<readonly TokenLog[]> {
    const { promise, resolve, reject } = Promise.withResolvers<readonly TokenLog[]>();
    const one: Judged = { asked, resolve, reject };
    this.#texts.push(one);
    const leave = () => {
      this.#texts = this.#texts.filter((each) => each !== one);
    };
    return this.#settled(promise, reject, signal, leave);
  }

  /** Begins to work; a signal takes what still waits from the lane. */
  #settled<T>(promise: Promise<T>, reject: (error: unknown) => void, signal: AbortSignal, leave: () => void) {
    const end = () => {
      leave();
      reject(signal.reason);
    };
    if (signal.aborted) end();
    else signal.addEventListener("abort", end, { once: true });
    this.#busy ??= this.#run();
    return promise.finally(() => signal.removeEventListener("abort", end));
  }

  async #run(): Promise<void> {
    // Requests that came with the first one join it.
    await pause();
    while (this.waiting > 0) {
      await this.#judgeAll();
      if (this.#model.flows)
        await this.#model.flow(
          (fits) => this.#next(fits),
          () => this.#judgeAll(),
        );
      else await this.#writeBatch();
      await pause();
    }
    this.#busy = undefined;
  }

  #next(fits: (choice: Choice) => boolean): Waited | undefined {
    const [first] = this.#answers;
    return first && fits(first.choice) ? this.#answers.shift() : undefined;
  }

  async #judgeAll(): Promise<void> {
    while (this.#texts.length > 0) {
      const batch = this.#texts.splice(0, this.#batch);
      try {
        const told = await this.#model.judge(batch.map(({ asked }) => asked));
        for (const [i, { resolve }] of batch.entries()) resolve(told[i] ?? []);
      } catch (error) {
        for (const { reject } of batch) reject(error);
      }
    }
  }

  async #writeBatch(): Promise<void> {
    const batch = this.#answers.splice(0, this.#batch);
    if (batch.length === 0) return;
    try {
      await this.#model.write(batch.map(({ choice }) => choice));
      for (const { resolve } of batch) resolve();
    } catch (error) {
      for (const { reject } of batch) reject(error);
    }
  }
}

export class Desk {
  readonly #batch: number;
  readonly #most: number;
  readonly #lanes = new Map<ServedModel, Lane>();

  /** `batch` answers of a model are made at once; with `most` that wait, no request is taken. */
  constructor(batch: number, most: number) {
    this.#batch = batch;
    this.#most = most;
  }

  /** Throws ApiError where too much waits. A request that is taken is taken whole. */
  admit(): void {
    const waiting = [...this.#lanes.values()].reduce((sum, lane) => sum + lane.waiting, 0);
    if (waiting < this.#most) return;
    const told = { type: "rate_limit_error", code: "queue_full" };
    throw new ApiError(429, `${waiting} answers wait already; ask again later`, told);
  }

  /** Writes an answer. Rejects with the reason of its signal, or where the model fails. */
  write(model: ServedModel, choice: Choice): Promise<void> {
    return this.#lane(model).write(choice);
  }

  /** Judges the tokens of a text. */
  judge(model: ServedModel, asked: Asked, signal: AbortSignal): Promise<readonly TokenLog[]> {
    return this.#lane(model).judge(asked, signal);
  }

  /** Waits for what runs. */
  async idle(): Promise<void> {
    await Promise.all([...this.#lanes.values()].map((lane) => lane.idle()));
  }

  #lane(model: ServedModel): Lane {
    const lane = this.#lanes.get(model) ?? new Lane(model, this.#batch);
    this.#lanes.set(model, lane);
    return lane;
  }
}
