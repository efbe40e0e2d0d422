/**
 * Where weights were, and how much each of them matters there: what a quadratic penalty holds them to. An anchor
 * outlives trainings, and takes later importances in.
 *
 * GPU memory: a copy of the weights, and importances as large as they are in f32.
 */
import { UserError } from "../../../errors.ts";
import type { Gpu } from "../../../gpu/gpu.ts";
import { Parameter } from "../../../tensor/parameter.ts";
import { Programs } from "../../programs.ts";
import { recordAddScaled } from "../add-scaled.ts";

export interface AnchoredWeight {
  readonly parameter: Parameter;
  readonly anchor: Parameter;
  /** f32, 0 until something is found; undefined where every weight counts as 1. */
  readonly importance: Parameter | undefined;
}

export class Anchor {
  readonly weights: readonly AnchoredWeight[];
  readonly #gpu: Gpu;

  /** Lies where the weights are. `of` tells its tensors from those of other anchors. */
  constructor(
    gpu: Gpu,
    parameters: readonly Parameter[],
    { weighed, of = "" }: { readonly weighed: boolean; readonly of?: string },
  ) {
    this.#gpu = gpu;
    this.weights = parameters.map((parameter) => {
      const { name, shape, dtype, size } = parameter;
      const importance = weighed ? new Parameter(gpu, `${of}importance of ${name}`, shape, "f32", false) : undefined;
      if (importance) gpu.clear(importance.buffer, Math.max(16, 4 * size));
      return { parameter, anchor: new Parameter(gpu, `${of}anchor of ${name}`, shape, dtype, false), importance };
    });
    this.take();
  }

  /** To be saved with a run. */
  get kept(): readonly Parameter[] {
    return this.weights.flatMap(({ anchor, importance }) => [anchor, ...(importance ? [importance] : [])]);
  }
  get bytes(): number {
    return this.kept.reduce((sum, { bytes }) => sum + bytes, 0);
  }

  /** Moves it to where the weights are. */
  take(): void {
    for (const { parameter, anchor } of this.weights)
      this.#gpu.copy(parameter.buffer, 0, anchor.buffer, 0, Math.ceil(parameter.bytes / 4) * 4);
  }

  #importanceOf(parameter: Parameter): Parameter {
    const importance = this.weights.find((held) => held.parameter === parameter)?.importance;
    if (!importance) throw new RangeError(`no importance is held of ${parameter.name}`);
    return importance;
  }

  /** Sets where a weight is held, from value `start` on. Throws UserError for one in bf16. */
  hold(parameter: Parameter, start: number, values: Float32Array): void {
    const anchor = this.weights.find((held) => held.parameter === parameter)?.anchor;
    if (!anchor) throw new RangeError(`${parameter.name} is not held`);
    if (anchor.dtype !== "f32")
      throw new UserError(`${parameter.name} is held in bf16, and is to be held to other weights`, "train in f32");
    anchor.writeBytes(4 * start, new Uint8Array(values.buffer, values.byteOffset, values.byteLength));
  }

  /** Sets importances of a weight, from value `start` on. */
  set(parameter: Parameter, start: number, values: Float32Array): void {
    const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
    this.#gpu.write(this.#importanceOf(parameter).buffer, 4 * start, bytes);
  }

  /** F <- keep F + share found, (size) f32 of every weight. */
  async add(found: (parameter: Parameter) => GPUBuffer, keep = 1, share = 1): Promise<void> {
    const programs = new Programs(this.#gpu); // what is found lies elsewhere another time
    const { program } = await programs.get("add", (rec) => {
      for (const { parameter } of this.weights) {
        const { name, shape } = parameter;
        const x = rec.state(`found of ${name}`, shape, found(parameter));
        const y = rec.state(`importance of ${name}`, shape, this.#importanceOf(parameter).buffer);
        recordAddScaled(rec, x, y);
      }
    });
    program.run({ a: share, b: keep });
    programs.free();
  }

  free(): void {
    for (const parameter of this.kept) parameter.free();
  }
}
