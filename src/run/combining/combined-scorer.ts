/** Scores batches of texts with a rule over several views, as a Scorer does with one model; in f64 on the host. */
import { type Batch, isTokens } from "../../data/batch.ts";
import { targetsOf } from "../../data/targets.ts";
import type { Scorer, Scores } from "../scoring/scorer.ts";
import type { CombinedRows } from "./combined-rows.ts";
import { logProbabilities } from "./log-probabilities.ts";

export class CombinedScorer implements Pick<Scorer, "score" | "free"> {
  readonly #rows: CombinedRows;
  readonly #gives: { readonly moments: boolean; readonly probabilities: boolean };
  #queue: Promise<unknown> = Promise.resolve();

  /** Frees `rows` when it is freed. `gives`: what scores have beside losses. */
  constructor(rows: CombinedRows, gives: { readonly moments: boolean; readonly probabilities: boolean }) {
    this.#rows = rows;
    this.#gives = gives;
  }

  /** One batch after the other. */
  score(batch: Batch): Promise<Scores> {
    const run = this.#queue.then(() => this.#score(batch));
    this.#queue = run.catch(() => {});
    return run;
  }

  async free(): Promise<void> {
    await this.#queue;
    this.#rows.free();
  }

  async #score(batch: Batch): Promise<Scores> {
    if (!isTokens(batch)) throw new TypeError("a rule over several views is for texts");
    const all = await this.#rows.of(batch);
    const { outputs } = this.#rows;
    const targets = targetsOf(batch);
    const n = targets.length;
    const { moments, probabilities } = this.#gives;
    const scores = {
      ...{ targets, nll: new Float32Array(n), argmax: new Uint32Array(n), confidence: new Float32Array(n) },
      ...(moments ? { moments: new Float32Array(2 * n) } : {}),
      ...(probabilities ? { probabilities: new Float32Array(n * outputs) } : {}),
    };
    for (const [i, target] of targets.entries()) {
      if (target < 0) continue;
      const logs = logProbabilities(all.subarray(i * outputs, (i + 1) * outputs));
      let best = 0;
      for (const [id, x] of logs.entries()) if (x > logs[best]!) best = id;
      scores.nll[i] = -(logs[target] ?? Number.NEGATIVE_INFINITY);
      scores.argmax[i] = best;
      scores.confidence[i] = Math.exp(logs[best]!);
      scores.probabilities?.set(logs.map(Math.exp), i * outputs);
      if (!scores.moments) continue;
      const expected = (of: (log: number) => number) =>
        logs.reduce((sum, x) => (x > Number.NEGATIVE_INFINITY ? sum + Math.exp(x) * of(x) : sum), 0);
      const mean = expected((x) => x);
      scores.moments[2 * i] = mean;
      scores.moments[2 * i + 1] = expected((x) => (x - mean) ** 2);
    }
    return scores;
  }
}
