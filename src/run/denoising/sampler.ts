/**
 * Vectors drawn from denoisers: noise of the largest level is brought down a grid of levels t_0 > t_1 > ... > 0 by what
 * the models say that it was, D. All steps are one program; nothing is read back on the way.
 *
 *   euler         x <- x + (t_{i+1} - t_i) (x - D(x, t_i)) / t_i
 *   heun          the mean of that slope and the one at t_{i+1}, but for the step to 0 (Karras et al. 2022, alg. 1)
 *   consistency   x <- D(x, t_i), then noise anew: x + sqrt(t_{i+1}^2 - sigma_0^2) z (Song et al. 2023, algorithm 1)
 *
 * One step of each is D(t_0 z, t_0). With guidance g, D is D_none + g (D_class - D_none) (Ho and Salimans 2022,
 * https://arxiv.org/abs/2207.12598).
 *
 * Two models may be experts of levels, one above and one below a boundary, or be mixed at every level (PanGu-Draw 2023,
 * https://arxiv.org/abs/2312.16486). Rows may begin as drafts under noise of a level below the largest, which the
 * levels from there on refine ("Diffusion Models as Optimizers for Efficient Planning", 2024,
 * https://arxiv.org/abs/2407.16142).
 */
import { Random } from "../../data/random.ts";
import type { Gpu } from "../../gpu/gpu.ts";
import type { Model } from "../../model/model.ts";
import type { NoiseSizes } from "../../model/noise.ts";
import { add, scale, sub } from "../../tensor/ops/elementwise.ts";
import type { Recorder } from "../../tensor/recorder.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { Programs } from "../programs.ts";
import { levelGrid } from "./levels.ts";
import { denoised, fixedLevel, noiseSizes, valuesOf } from "./noised.ts";

export type SamplerName = "heun" | "euler" | "consistency";

/** What is read of rows besides noise, by the names of the program's inputs. */
export interface RowTensors {
  /** (B) i32 */
  readonly classes: Tensor | undefined;
  /** (B) i32, the number of classes everywhere. */
  readonly none: Tensor | undefined;
  /** (B, K) */
  readonly control: Tensor | undefined;
}

/** What rows x (B, D) of level sigma were: (B, D). */
export type Denoise = (rec: Recorder, x: Tensor, sigma: number, rows: RowTensors) => Tensor;

/** What one model says, guided towards classes: those of rows, or one of its own for all of them. */
export const denoiseBy =
  (model: Model, guidance = 1, label?: number): Denoise =>
  (rec, x, sigma, { classes: given, none, control }) => {
    const own = (of: number) => rec.constant(new Int32Array(x.shape[0] ?? 0).fill(of), [x.shape[0] ?? 0], "class");
    const classes = model.sizes.outputs === 0 ? undefined : label === undefined ? given : own(label);
    const say = (of: Tensor | undefined) =>
      denoised(rec, model, { x, noise: fixedLevel(rec, model, sigma, of), control });
    if (guidance === 1 || !classes) return say(classes);
    const plain = say(none);
    return add(rec, plain, scale(rec, sub(rec, say(classes), plain), guidance));
  };

/** One model down to a level, another from there on: experts of intervals of noise. */
export const switched =
  (above: Denoise, below: Denoise, at: number): Denoise =>
  (rec, x, sigma, rows) =>
    sigma >= at ? above(rec, x, sigma, rows) : below(rec, x, sigma, rows);

/** What two models say, mixed at every level: `share` of it is the second's. The same model twice is that model. */
export const mixed =
  (first: Denoise, second: Denoise, share: number): Denoise =>
  (rec, x, sigma, rows) => {
    const said = first(rec, x, sigma, rows);
    return add(rec, said, scale(rec, sub(rec, second(rec, x, sigma, rows), said), share));
  };

export interface SamplerOptions {
  readonly sampler: SamplerName;
  readonly steps: number;
  /** Values of a row. */
  readonly width: number;
  readonly noise: NoiseSizes;
  /** Classes of the models; 0 where they have none. */
  readonly classes: number;
  /** Values of what an adapter reads of a row; 0 where there is none. */
  readonly controls: number;
  readonly seed: number;
  /** Only the last so many levels are gone down, from drafts with noise of the first of them; all when left out. */
  readonly last?: number | undefined;
}

/** Rows that are asked for. */
export interface Asked {
  /** Which of all samples of the seed the first one is. */
  readonly first: number;
  /** The class of each; the number of classes where it has none. */
  readonly labels: Int32Array;
  /** What the adapter reads of each, one of its values 1. */
  readonly controls?: Int32Array | undefined;
  /** (B, D) rows to begin with, where not all levels are gone down. */
  readonly drafts?: Float32Array | undefined;
}

/** Levels from the largest down, without the last 0. */
function stepLevels({ sampler, steps, noise, last = steps }: SamplerOptions): number[] {
  // Noise of the least level brought back to it is no step of a consistency model.
  const grid = sampler === "consistency" ? levelGrid(steps + 1, noise).slice(1) : levelGrid(steps, noise);
  return grid.reverse().slice(steps - last);
}

export class VectorSampler {
  readonly #options: SamplerOptions;
  readonly #denoise: Denoise;
  readonly #levels: readonly number[];
  readonly #programs: Programs;

  constructor(gpu: Gpu, denoise: Denoise, options: SamplerOptions) {
    this.#denoise = denoise;
    this.#options = options;
    this.#levels = stepLevels(options);
    this.#programs = new Programs(gpu);
  }

  /** Of one model. */
  static of(
    model: Model,
    {
      guidance,
      ...options
    }: Pick<SamplerOptions, "sampler" | "steps" | "seed"> & {
      readonly guidance?: number;
      readonly controls?: number;
    },
  ): VectorSampler {
    const own = { width: valuesOf(model), noise: noiseSizes(model), classes: model.sizes.outputs, controls: 0 };
    return new VectorSampler(model.gpu, denoiseBy(model, guidance), { ...own, ...options });
  }

  /** Whether rows begin as drafts. */
  get #refines(): boolean {
    const { last, steps } = this.#options;
    return last !== undefined && last < steps;
  }

  /** Draws of noise that a sample takes. */
  get #draws(): number {
    return this.#options.sampler === "consistency" ? this.#levels.length : 1;
  }

  /** Rows (B, D), one after the other. Each follows from the seed and its number alone. */
  async draw({ first, labels, controls, drafts }: Asked): Promise<Float32Array> {
    const { width, seed, classes, controls: most } = this.#options;
    const rows = labels.length;
    const { program } = await this.#programs.get(`${rows}`, (rec) => {
      rec.output("x", this.#record(rec, rows));
    });
    const noise = Array.from({ length: this.#draws }, () => new Float32Array(rows * width));
    for (let row = 0; row < rows; row++) {
      const random = new Random(seed, "sample", first + row);
      for (const values of noise) for (let i = 0; i < width; i++) values[row * width + i] = random.normal();
    }
    for (const [i, values] of noise.entries()) program.write(`noise ${i}`, values);
    if (classes > 0) program.write("classes", labels);
    if (most > 0) {
      const marked = new Float32Array(rows * most);
      for (const [row, control] of (controls ?? new Int32Array()).entries()) marked[row * most + control] = 1;
      program.write("control", marked);
    }
    if (this.#refines) program.write("drafts", drafts ?? new Float32Array(rows * width));
    program.run();
    return program.read("x");
  }

  #record(rec: Recorder, rows: number): Tensor {
    const { width, classes, controls, sampler, noise } = this.#options;
    const given: RowTensors = {
      classes: classes > 0 ? rec.input("classes", [rows], "i32") : undefined,
      none: classes > 0 ? rec.constant(new Int32Array(rows).fill(classes), [rows], "no class") : undefined,
      control: controls > 0 ? rec.input("control", [rows, controls]) : undefined,
    };
    const z = (i: number) => rec.input(`noise ${i}`, [rows, width]);
    const say = (x: Tensor, sigma: number) => this.#denoise(rec, x, sigma, given);
    const levels = this.#levels;
    const noised = scale(rec, z(0), levels[0]!);
    let x = this.#refines ? add(rec, rec.input("drafts", [rows, width]), noised) : noised;
    for (const [i, level] of levels.entries()) {
      x = { ...rec.reshape(x, x.shape), label: `rows at ${level}` }; // names of sums grow with every step
      const next = levels[i + 1] ?? 0;
      const said = say(x, level);
      if (sampler === "consistency")
        x = next === 0 ? said : add(rec, said, scale(rec, z(i + 1), Math.sqrt(next ** 2 - noise.low ** 2)));
      else {
        const slope = scale(rec, sub(rec, x, said), 1 / level);
        const there = next === 0 ? said : add(rec, x, scale(rec, slope, next - level));
        if (sampler === "euler" || next === 0) x = there;
        else {
          const slopeThere = scale(rec, sub(rec, there, say(there, next)), 1 / next);
          x = add(rec, x, scale(rec, add(rec, slope, slopeThere), (next - level) / 2));
        }
      }
    }
    return x;
  }

  free(): void {
    this.#programs.free();
  }
}
