/** What logits say of rows, on the host: probabilities, how sure they are, and how they differ over views. */
import type { Setting, StreamBatch } from "./contract.ts";
import type { Answers } from "./student.ts";

/** Probabilities of every row. */
export function probabilities(logits: Float32Array, classes: number): Float64Array[] {
  return Array.from({ length: logits.length / classes }, (_, row) => {
    const own = Float64Array.from(logits.subarray(row * classes, (row + 1) * classes));
    const most = Math.max(...own);
    const raised = own.map((x) => Math.exp(x - most));
    const total = raised.reduce((a, b) => a + b, 0);
    return raised.map((x) => x / total);
  });
}

/** Mean over rows of the largest probability. */
export function confidenceOf(logits: Float32Array, classes: number): number {
  const all = probabilities(logits, classes);
  return all.reduce((sum, p) => sum + Math.max(...p), 0) / all.length;
}

export interface ViewsOptions {
  readonly answers: Answers;
  /** Whose answers. */
  readonly way: string;
  readonly views: number;
  readonly values?: Readonly<Record<string, number>>;
}

/** Mean and variance of the logits over other views of a batch, (B, K) each. */
export async function overViews(
  { augment, signal }: Setting,
  { rows, index }: StreamBatch,
  { answers, way, views, values }: ViewsOptions,
): Promise<{ readonly mean: Float32Array; readonly variance: Float64Array }> {
  const passes: Float32Array[] = [];
  for (let view = 0; view < views; view++) {
    signal.throwIfAborted();
    const found = await answers.of(augment(rows, `${index} view ${view}`), [way], values);
    passes.push(found.get(way)!.logits);
  }
  const mean = Float64Array.from(passes[0]!, (_, i) => passes.reduce((sum, pass) => sum + pass[i]!, 0) / views);
  const variance = mean.map((m, i) => passes.reduce((sum, pass) => sum + (pass[i]! - m) ** 2, 0) / views);
  return { mean: Float32Array.from(mean), variance };
}
