/** Gradients put aside by name, their inner products, and sums of them. GPU memory: one copy for each name. */
import type { PooledBuffer } from "../../../gpu/buffer.ts";
import type { Gpu } from "../../../gpu/gpu.ts";
import { spanGroups } from "../../../gpu/grid.ts";
import { add } from "../../../tensor/ops/elementwise.ts";
import { dot } from "../../../tensor/ops/reduce.ts";
import type { Parameter } from "../../../tensor/parameter.ts";
import type { Recorder } from "../../../tensor/recorder.ts";
import { stretches } from "../../../tensor/stretches.ts";
import type { Tensor } from "../../../tensor/tensor.ts";

export class GradientCopies {
  readonly #gpu: Gpu;
  readonly #parameters: readonly Parameter[];
  readonly #copies = new Map<string, readonly PooledBuffer[]>();

  constructor(gpu: Gpu, parameters: readonly Parameter[]) {
    this.#gpu = gpu;
    this.#parameters = parameters;
  }

  get bytes(): number {
    return [...this.#copies.values()].flat().reduce((sum, { bytes }) => sum + bytes, 0);
  }

  /** Takes the memory of a copy. */
  reserve(name: string): void {
    if (this.#copies.has(name)) return;
    const made = this.#parameters.map((parameter) =>
      this.#gpu.buffer(Math.max(16, 4 * parameter.size), `gradient of ${parameter.name}, ${name}`),
    );
    this.#copies.set(name, made);
  }

  /** Copies the gradients as they are. */
  keep(name: string): void {
    this.reserve(name);
    const copies = this.#copies.get(name)!;
    for (const [i, { gradient, size }] of this.#parameters.entries())
      this.#gpu.copy(gradient, 0, copies[i]!.buffer, 0, 4 * size);
  }

  /** The gradients in a recording, by parameter: those of now, or a copy. */
  record(rec: Recorder, name?: string): Tensor[] {
    const copies = name === undefined ? undefined : this.#copies.get(name)!;
    return this.#parameters.map(({ name: of, shape, gradient }, i) =>
      rec.state(`gradient of ${of}, ${name ?? "now"}`, shape, copies ? copies[i]!.buffer : gradient),
    );
  }

  free(): void {
    for (const held of [...this.#copies.values()].flat()) held.free();
    this.#copies.clear();
  }
}

/** The inner product over all parameters, (1). */
export const recordDot = (rec: Recorder, a: readonly Tensor[], b: readonly Tensor[]): Tensor =>
  a.map((x, i) => dot(rec, x, b[i]!)).reduce((x, y) => add(rec, x, y));

/** y += factor x over all parameters, the factor (1) on the GPU. */
export function recordAddTimes(rec: Recorder, x: readonly Tensor[], factor: Tensor, y: readonly Tensor[]): void {
  for (const [i, from] of x.entries())
    for (const { count, of } of stretches(
      rec,
      from.shape.reduce((a, b) => a * b, 1),
    ))
      rec.step({
        kernel: "reduce/scaled-by",
        bind: { x: of(from), factor, y: of(y[i]!) },
        params: { count, scale: 1, accumulate: 1 },
        groups: spanGroups(count),
      });
}
