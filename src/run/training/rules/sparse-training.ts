/**
 * Trains the weights of masks alone, and moves the masks on the way (sparsity/regrow.ts). Gradients of other weights
 * are cut before norm, clipping and optimizer, so that no moment is theirs, and they stay to the bit.
 *
 * Memory on the GPU: a factor for every masked weight and a copy of it before the step; for `momentum` a running mean
 * of the gradients. On the host one layer at a time, where masks move.
 */
import { decodeFloats } from "../../../checkpoint/decode.ts";
import { Random } from "../../../data/random.ts";
import type { Gpu } from "../../../gpu/gpu.ts";
import { Parameter } from "../../../tensor/parameter.ts";
import { Programs } from "../../programs.ts";
import { type BitMask, maskValues } from "../../sparsity/bit-mask.ts";
import { type Grow, movedShare, regrow } from "../../sparsity/regrow.ts";
import { recordAddScaled } from "../add-scaled.ts";
import type { UpdateRule } from "../update-rule.ts";
import { UnitScales } from "./unit-scales.ts";

/** Share of the past in the running mean of gradients. */
const MOMENTUM = 0.9;

/** A weight, and which of its values are trained: those of `mask` that are not `taken`. */
export interface SparseLayer {
  readonly parameter: Parameter;
  readonly mask: BitMask;
  readonly taken: BitMask;
  readonly fired: BitMask;
}

export interface SparseTrainingOptions {
  readonly grow: Grow;
  /** Share that moves at first; 0: masks stay. */
  readonly share: number;
  /** Steps from move to move. */
  readonly every: number;
  /** The step from which on masks stay. */
  readonly until: () => number;
  readonly seed: number;
  readonly name: string;
  /** Makes the masks, and gives the weights that begin; called before the first step of a run that does not resume. */
  begin(): Promise<void>;
}

export class SparseTraining implements UpdateRule {
  readonly name: string;
  readonly kept: readonly Parameter[];
  readonly #gpu: Gpu;
  readonly #layers: readonly SparseLayer[];
  readonly #options: SparseTrainingOptions;
  readonly #scales: UnitScales;
  readonly #means: readonly Parameter[];
  readonly #programs: Programs;

  /** The masks of a run that resumes are as they were. */
  constructor(gpu: Gpu, layers: readonly SparseLayer[], options: SparseTrainingOptions) {
    const { name, seed, grow } = options;
    this.name = name;
    this.#gpu = gpu;
    this.#layers = layers;
    this.#options = options;
    this.#programs = new Programs(gpu);
    const scales = layers.map((layer) => ({
      ...{ parameter: layer.parameter, along: "value" as const, factors: factorsOf(layer) },
    }));
    this.#scales = new UnitScales(gpu, scales, { name, apply: "both", seed });
    this.#means =
      grow === "momentum"
        ? layers.map(({ parameter: { name, shape } }) => new Parameter(gpu, `mean gradient of ${name}`, shape))
        : [];
    for (const mean of this.#means) gpu.clear(mean.buffer, Math.max(16, 4 * mean.size));
    this.kept = this.#means;
  }

  get bytes(): number {
    return this.#scales.bytes + this.#means.reduce((sum, { bytes }) => sum + bytes, 0);
  }

  async ahead(step: number): Promise<void> {
    if (step > 1) return;
    await this.#options.begin();
    for (const [l, layer] of this.#layers.entries()) this.#scales.set(l, factorsOf(layer));
  }

  async before(step: number): Promise<void> {
    if (this.#means.length > 0) await this.#average();
    const { every, share: f0, until } = this.#options;
    const share = step % every === 0 ? movedShare(f0, step, until()) : 0;
    if (share > 0) for (const l of this.#layers.keys()) await this.#move(l, share, step);
    await this.#scales.before();
  }

  async after(step: number): Promise<void> {
    await this.#scales.after(step);
  }

  /** Moves the mask of a layer; a weight that goes is 0, as is one that comes. */
  async #move(l: number, share: number, step: number): Promise<void> {
    const { grow, seed, name } = this.#options;
    const layer = this.#layers[l]!;
    const { parameter } = layer;
    const { size, dtype, buffer, bytes } = parameter;
    const raw = await this.#gpu.read(buffer, 0, Math.ceil(bytes / 4) * 4, (view) => view.slice());
    const values = decodeFloats(raw.subarray(0, bytes), dtype === "f32" ? "F32" : "BF16");
    const from = grow === "momentum" ? this.#means[l]!.buffer : parameter.gradient;
    const scores = grow === "gradient" || grow === "momentum" ? await this.#gpu.readFloats(from, size) : undefined;
    const random = new Random(seed, name, parameter.name, step);
    const dropped = regrow({ ...layer, share, grow, weights: values, scores, random });
    if (dropped.length === 0) return;
    const width = dtype === "f32" ? 4 : 2;
    for (const i of dropped) raw.fill(0, i * width, (i + 1) * width);
    this.#gpu.write(buffer, 0, raw);
    this.#scales.set(l, factorsOf(layer));
  }

  async #average(): Promise<void> {
    const { program } = await this.#programs.get("mean", (rec) => {
      for (const [l, { parameter }] of this.#layers.entries()) {
        const { name, shape, gradient } = parameter;
        const mean = rec.state(`mean gradient of ${name}`, shape, this.#means[l]!.buffer);
        recordAddScaled(rec, rec.state(`gradient of ${name}`, shape, gradient), mean);
      }
    });
    program.run({ a: 1 - MOMENTUM, b: MOMENTUM });
  }

  free(): void {
    this.#programs.free();
    this.#scales.free();
    for (const mean of this.#means) mean.free();
  }
}

const factorsOf = ({ parameter, mask, taken }: SparseLayer): Float32Array =>
  maskValues(parameter.size, (i) => mask.has(i) && !taken.has(i));
