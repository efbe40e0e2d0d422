/**
 * A small part of the weights for what comes next: of each weight's values those on which the likelihood of the rows so
 * far hangs least, by the diagonal of the Fisher information of their labels. All others stay. Roy et al., TMLR 2024,
 * https://arxiv.org/abs/2403.14392. GPU memory: one mask of the size of what is trained.
 */
import { measureFisher } from "../../run/fisher/fisher.ts";
import { Parameter } from "../../tensor/parameter.ts";
import type { Stage, Stream } from "./contract.ts";
import { measuredRows } from "./penalty.ts";

/** Marks the `share` of values that are smallest, at least one; of equal ones the first. */
export function leastOf(values: Float32Array, share: number): Float32Array {
  const count = Math.max(1, Math.round(share * values.length));
  const order = Uint32Array.from(values.keys()).sort((a, b) => values[a]! - values[b]! || a - b);
  const marks = new Float32Array(values.length);
  for (const place of order.subarray(0, count)) marks[place] = 1;
  return marks;
}

export class SubNet {
  /** 1 where a value may move. */
  readonly #masks: ReadonlyMap<Parameter, Parameter>;
  readonly #stream: Stream<unknown>;

  /** Takes the memory; nothing may move until `choose`, or until a state is loaded. */
  constructor(stream: Stream<unknown>) {
    const { gpu, model } = stream;
    this.#stream = stream;
    this.#masks = new Map(
      model.trainable().map((p) => [p, new Parameter(gpu, `subnet.${p.name}`, [p.size], "f32", false)] as const),
    );
    for (const mask of this.kept) gpu.clear(mask.buffer, Math.max(4, mask.bytes));
  }

  /** Chooses the part by rows of a stage, as the model is now. */
  async choose(stage: Stage, { share, rows }: { readonly share: number; readonly rows: number }): Promise<void> {
    const { gpu, model, seed, signal } = this.#stream;
    const measured = measuredRows({ ...this.#stream, values: { importance_rows: rows } }, stage);
    const found = await measureFisher(model, measured, { labels: "empirical", seed: seed + stage.index, signal });
    for (const [parameter, mask] of this.#masks) {
      const own = found.of.get(parameter)!;
      mask.write(leastOf(await gpu.readFloats(own.buffer, parameter.size), share));
    }
    found.free();
  }

  /** How far each value of a weight may go: `rate` of its step, or not at all. */
  async factors(parameter: Parameter, rate: number): Promise<Float32Array> {
    const mask = this.#masks.get(parameter)!;
    return (await this.#stream.gpu.readFloats(mask.buffer, mask.size)).map((mark) => rate * mark);
  }

  get kept(): readonly Parameter[] {
    return [...this.#masks.values()];
  }

  get bytes(): number {
    return this.kept.reduce((sum, { bytes }) => sum + bytes, 0);
  }

  free(): void {
    for (const mask of this.kept) mask.free();
  }
}
