/**
 * Routers beside a frozen model: one for each layer says of a whole prompt whether the layer is left out, runs, or runs
 * twice. Heakl et al. 2025, Dr.LLM: Dynamic Layer Routing in LLMs, https://arxiv.org/abs/2510.12773
 *
 *   logits = mean over windows of W2 gelu(W1 mean of the window + b1) + b2
 *
 * A prompt's tokens are cut into 8 windows of equal length, and what is left over at its end is not read; a prompt of
 * fewer tokens has a window for each.
 */
import { isTokens, type TokenBatch } from "../../data/batch.ts";
import type { Gpu } from "../../gpu/gpu.ts";
import { keyedNormals } from "../../keyed-random.ts";
import { gelu } from "../../tensor/ops/activation.ts";
import { joinColumns, splitColumns } from "../../tensor/ops/columns.ts";
import { add, addScalar, isPositive, maximum, mul, scale, sub, sumTo } from "../../tensor/ops/elementwise.ts";
import { embedding } from "../../tensor/ops/embedding.ts";
import { linear } from "../../tensor/ops/linear.ts";
import { softmax } from "../../tensor/ops/softmax.ts";
import { Parameter } from "../../tensor/parameter.ts";
import type { Program } from "../../tensor/program.ts";
import type { Recorder } from "../../tensor/recorder.ts";
import { sizeOf, type Tensor } from "../../tensor/tensor.ts";
import { mixedTurns, type RowDepth, sharesIn } from "./row-depth.ts";

/** Most turns of a layer. */
export const MOST_TURNS = 2;
const CHOICES = MOST_TURNS + 1;
const WINDOWS = 8;
/** What the choice of the routers alone is on the dial. */
export const ROUTERS_ALONE = -0.5;

export interface RouterSizes {
  readonly layers: number;
  readonly width: number;
  readonly hidden: number;
}

type Part = "in.weight" | "in.bias" | "out.weight" | "out.bias";

const shapeOf = (part: Part, { width, hidden }: RouterSizes): number[] =>
  ({ "in.weight": [hidden, width], "in.bias": [hidden], "out.weight": [CHOICES, hidden], "out.bias": [CHOICES] })[part];

const PARTS = ["in.weight", "in.bias", "out.weight", "out.bias"] as const;

/** Names and shapes of all routers' weights. */
export const routerShapes = (sizes: RouterSizes): [name: string, shape: number[]][] =>
  Array.from({ length: sizes.layers }, (_, layer) => layer).flatMap((layer) =>
    PARTS.map((part): [string, number[]] => [`${layer}.${part}`, shapeOf(part, sizes)]),
  );

/** Tokens of a row's prompt: those before the first that counts, all where none stands before it. */
export function promptLength(labels: Int32Array): number {
  const asked = labels.findIndex((label) => label >= 0);
  return asked > 1 ? asked : labels.length;
}

/** Windows of the prompts of a batch, (B) prompts in rows of `length` tokens. */
export function windowsOf(prompts: readonly number[], length: number) {
  const most = Math.max(1, Math.floor(length / WINDOWS));
  const places = new Int32Array(prompts.length * WINDOWS * most).fill(-1);
  const means = new Float32Array(prompts.length * WINDOWS);
  const shares = new Float32Array(prompts.length * WINDOWS);
  for (const [row, tokens] of prompts.entries()) {
    const size = Math.max(1, Math.floor(tokens / WINDOWS));
    const count = Math.min(WINDOWS, tokens);
    for (let window = 0; window < count; window++) {
      const at = row * WINDOWS + window;
      for (let i = 0; i < size; i++) places[at * most + i] = row * length + window * size + i;
      means[at] = 1 / size;
      shares[at] = 1 / count;
    }
  }
  return { most, places, means, shares };
}

/** Inputs of a pass from which routers read their windows. */
interface Windows {
  /** (B * 8 * most) */
  readonly places: Tensor;
  /** (B * 8, 1): 1 / tokens of a window, and the share of a window among those of its prompt. */
  readonly means: Tensor;
  readonly shares: Tensor;
  readonly most: number;
}

export function recordWindows(rec: Recorder, rows: number, length: number): Windows {
  const { most } = windowsOf([], length);
  return {
    most,
    places: rec.input("windows", [rows * WINDOWS * most], "i32"),
    means: rec.input("window means", [rows * WINDOWS, 1]),
    shares: rec.input("window shares", [rows * WINDOWS, 1]),
  };
}

export function fillWindows(program: Program, batch: TokenBatch): void {
  const prompts = Array.from(batch.lengths, (own, row) =>
    promptLength(batch.labels.subarray(row * batch.length, row * batch.length + own)),
  );
  const { places, means, shares } = windowsOf(prompts, batch.length);
  program.write("windows", places);
  program.write("window means", means);
  program.write("window shares", shares);
}

/**
 * Probabilities of a layer's choices (B, 3), moved by the dial: from always leaving it out (-1) over the routers' own
 * (-1/2) and always running it (1/2) to always running it twice (1).
 */
export function dialled(rec: Recorder, probabilities: Tensor, dial: number): Tensor {
  if (dial === ROUTERS_ALONE) return probabilities;
  const [skip, run, twice] = [Float32Array.of(1, 0, 0), Float32Array.of(0, 1, 0), Float32Array.of(0, 0, 1)];
  const fixed = (values: Float32Array) => rec.constant(values, [1, CHOICES], "choices");
  const mix = (share: number, one: Float32Array, other: Float32Array) =>
    fixed(one.map((value, i) => (1 - share) * value + share * other[i]!));
  if (dial > 0.5) {
    const ones = scale(rec, probabilities, 0);
    return add(rec, ones, mix((dial - 0.5) / 0.5, run, twice));
  }
  const own = dial < ROUTERS_ALONE ? (dial + 1) / 0.5 : 0.5 - dial;
  return add(
    rec,
    scale(rec, probabilities, own),
    mix(own, dial < ROUTERS_ALONE ? skip : run, Float32Array.of(0, 0, 0)),
  );
}

/** 1 at the likeliest choice of each row, (B, 3); of equal ones running the layer once comes first. */
export function likeliest(rec: Recorder, probabilities: Tensor): Tensor {
  const [skip, run, twice] = splitColumns(rec, probabilities, [1, 1, 1]);
  const isSkip = isPositive(rec, sub(rec, skip!, maximum(rec, run!, twice!)));
  const isTwice = isPositive(rec, sub(rec, twice!, maximum(rec, run!, skip!)));
  const isRun = addScalar(rec, scale(rec, add(rec, isSkip, isTwice), -1), 1);
  return joinColumns(rec, [isSkip, isRun, isTwice]);
}

/** Routers on the GPU. */
export class Routers {
  readonly sizes: RouterSizes;
  readonly #parameters: ReadonlyMap<string, Parameter>;

  private constructor(gpu: Gpu, sizes: RouterSizes, values: (name: string, shape: readonly number[]) => Float32Array) {
    this.sizes = sizes;
    this.#parameters = new Map(
      routerShapes(sizes).map(([name, shape]) => {
        const parameter = new Parameter(gpu, name, shape);
        parameter.write(values(name, shape));
        return [name, parameter] as const;
      }),
    );
  }

  /** New ones, drawn by seed. */
  static fresh(gpu: Gpu, sizes: RouterSizes, seed: number): Routers {
    return new Routers(gpu, sizes, (name, shape) => {
      const size = sizeOf(shape);
      if (shape.length < 2) return new Float32Array(size);
      return keyedNormals(size, 1 / Math.sqrt(shape[1]!), seed, `router ${name}`);
    });
  }

  /** Ones that were trained. */
  static of(gpu: Gpu, sizes: RouterSizes, values: ReadonlyMap<string, Float32Array>): Routers {
    return new Routers(gpu, sizes, (name) => values.get(name)!);
  }

  parameters(): Parameter[] {
    return [...this.#parameters.values()];
  }

  /** Logits (B, 3) of what to do with a layer, of its input (N, C). */
  logits(rec: Recorder, layer: number, x: Tensor, { places, means, shares, most }: Windows): Tensor {
    const of = (part: Part) => rec.parameter(this.#parameters.get(`${layer}.${part}`)!);
    const { width } = this.sizes;
    const windows = means.shape[0]!;
    const rows = windows / WINDOWS;
    const picked = rec.reshape(embedding(rec, places, x), [windows, most, width]);
    const sums = rec.reshape(sumTo(rec, picked, [windows, 1, width]), [windows, width]);
    const h = gelu(rec, linear(rec, mul(rec, sums, means), of("in.weight"), { bias: of("in.bias") }), { tanh: false });
    const each = linear(rec, h, of("out.weight"), { bias: of("out.bias") }); // (B * 8, 3)
    const weighed = rec.reshape(mul(rec, each, shares), [rows, WINDOWS, CHOICES]);
    return rec.reshape(sumTo(rec, weighed, [rows, 1, CHOICES]), [rows, CHOICES]);
  }

  /**
   * Lets the routers choose for every row. `heard` is told each layer's choice, (B, 3), 1 at the number of turns.
   */
  depth(dial: number, heard: (layer: number, choice: Tensor) => void = () => {}): RowDepth {
    return {
      record: (rec, inputs) => {
        if (!("positions" in inputs)) throw new TypeError("routers read prompts of a language model");
        const windows = recordWindows(rec, inputs.batch, inputs.length);
        return mixedTurns(rec, inputs.batch, (layer, x) => {
          const own = softmax(rec, this.logits(rec, layer, x, windows));
          const choice = likeliest(rec, dialled(rec, own, dial));
          heard(layer, choice);
          return sharesIn(rec, choice);
        });
      },
      fill(program, batch) {
        if (!isTokens(batch)) throw new TypeError("routers read prompts of a language model");
        fillWindows(program, batch);
      },
    };
  }

  free(): void {
    for (const parameter of this.parameters()) parameter.free();
  }
}
