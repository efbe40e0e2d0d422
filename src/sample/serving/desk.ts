/**
 * Where requests wait for the GPU. One batch runs at a time: the answer that waits longest, with those behind it that
 * ask the same model for the same kind of work. What is drawn for an answer depends on its seed and key alone, so what
 * runs beside it changes nothing.
 */
import type { Choice } from "./choice.ts";
import { ApiError } from "./errors.ts";
import type { TokenLog } from "./log-probs.ts";
import type { Asked, ServedModel } from "./served-model.ts";

type Work =
  | { readonly kind: "write"; readonly choice: Choice }
  | { readonly kind: "judge"; readonly asked: Asked; readonly signal: AbortSignal; told?: readonly TokenLog[] };

interface Waiting {
  readonly model: ServedModel;
  readonly work: Work;
  resolve(): void;
  reject(error: unknown): void;
}

export class Desk {
  readonly #batch: number;
  readonly #most: number;
  #waiting: Waiting[] = [];
  #busy: Promise<void> | undefined;

  /** `batch` pieces of work run at once; with `most` that wait, no request is taken. */
  constructor(batch: number, most: number) {
    this.#batch = batch;
    this.#most = most;
  }

  /** Throws ApiError where too much waits. A request that is taken is taken whole. */
  admit(): void {
    if (this.#waiting.length < this.#most) return;
    throw new ApiError(429, `${this.#waiting.length} answers wait already; ask again later`, {
      ...{ type: "rate_limit_error", code: "queue_full" },
    });
  }

  /** Writes an answer. Rejects with the reason of its signal, or where the model fails. */
  write(model: ServedModel, choice: Choice): Promise<void> {
    return this.#wait(model, { kind: "write", choice });
  }

  /** Judges the tokens of a text. */
  async judge(model: ServedModel, asked: Asked, signal: AbortSignal): Promise<readonly TokenLog[]> {
    const work: Work = { kind: "judge", asked, signal };
    await this.#wait(model, work);
    return work.told ?? [];
  }

  /** Waits for what runs. */
  async idle(): Promise<void> {
    await this.#busy;
  }

  #wait(model: ServedModel, work: Work): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const one: Waiting = { model, work, resolve, reject };
    const signal = signalOf(work);
    const leave = () => {
      this.#waiting = this.#waiting.filter((each) => each !== one);
      reject(signal.reason);
    };
    if (signal.aborted) leave();
    else {
      this.#waiting.push(one);
      signal.addEventListener("abort", leave, { once: true });
      this.#busy ??= this.#run();
    }
    return promise.finally(() => signal.removeEventListener("abort", leave));
  }

  async #run(): Promise<void> {
    // Requests that came with the first one join its batch.
    await new Promise((resolve) => setTimeout(resolve));
    for (let batch = this.#next(); batch.length > 0; batch = this.#next()) {
      try {
        await runBatch(batch);
        for (const { resolve } of batch) resolve();
      } catch (error) {
        for (const { reject } of batch) reject(error);
      }
      // What was heard since is taken before the next batch is chosen.
      await new Promise((resolve) => setTimeout(resolve));
    }
    this.#busy = undefined;
  }

  #next(): Waiting[] {
    const [first] = this.#waiting;
    if (!first) return [];
    const fits = ({ model, work }: Waiting) => model === first.model && work.kind === first.work.kind;
    const batch = this.#waiting.filter(fits).slice(0, this.#batch);
    this.#waiting = this.#waiting.filter((each) => !batch.includes(each));
    return batch;
  }
}

const signalOf = (work: Work): AbortSignal => (work.kind === "write" ? work.choice.signal : work.signal);

async function runBatch(batch: readonly Waiting[]): Promise<void> {
  const { model } = batch[0]!;
  const choices = batch.flatMap(({ work }) => (work.kind === "write" ? [work.choice] : []));
  if (choices.length > 0) await model.write(choices);
  const judged = batch.flatMap(({ work }) => (work.kind === "judge" ? [work] : []));
  if (judged.length === 0) return;
  const told = await model.judge(judged.map(({ asked }) => asked));
  for (const [i, work] of judged.entries()) work.told = told[i] ?? [];
}
