/**
 * A gate that weighs an accurate and a robust classifier for every input. Bai et al. 2023, Improving the
 * Accuracy-Robustness Trade-Off of Classifiers via Adaptive Smoothing, https://arxiv.org/abs/2301.12554
 *
 *   a(x) = a0 + a1 sigmoid(scale gamma(x) + bias)      the robust model's weight
 *   gamma = normalised output of two linear layers over what both models hold after their first block
 *
 * gamma is normalised over the batch while the gate is trained, with running statistics afterwards; the scale and the
 * bias behind it are fixed, so that the sigmoid does not saturate. a stays within [a0, a0 + a1]: where the margin of
 * the robust model's probabilities is above (1 - a0) / a0, the mixture says what the robust model says, whatever the
 * gate does.
 */
import { UserError } from "../../errors.ts";
import type { Gpu } from "../../gpu/gpu.ts";
import { keyedNormals } from "../../keyed-random.ts";
import type { Model, Recorded } from "../../model/model.ts";
import { relu } from "../../tensor/ops/activation.ts";
import { joinColumns } from "../../tensor/ops/columns.ts";
import { add, addScalar, div, log, scale, sigmoid, sqrt, square, sub, sumTo } from "../../tensor/ops/elementwise.ts";
import { linear } from "../../tensor/ops/linear.ts";
import { Parameter } from "../../tensor/parameter.ts";
import { profileOf } from "../../tensor/program.ts";
import { Recorder } from "../../tensor/recorder.ts";
import { sizeOf, type Tensor } from "../../tensor/tensor.ts";

/** What is fixed while a gate is trained. */
export interface GateSettings {
  /** Least weight of the robust model, above 0. */
  readonly least: number;
  /** How far the weight may rise above it; both together are below 1. */
  readonly span: number;
  readonly scale: number;
  readonly bias: number;
  /** Factors of the two models' logits. */
  readonly sharpness: { readonly accurate: number; readonly robust: number };
}

/** What both models hold after their first block. */
export const GATE_NOTE = "hidden.1";
const EPS = 1e-5;
const MOMENTUM = 0.1;
const PARTS = ["hidden.weight", "hidden.bias", "output.weight", "output.bias", "mean", "variance"] as const;
type Part = (typeof PARTS)[number];
/** Running statistics are not trained. */
const isTrained = (name: Part): boolean => name.includes(".");

const shapeOf = (name: Part, features: number, hidden: number): number[] =>
  ({
    "hidden.weight": [hidden, features],
    "hidden.bias": [hidden],
    "output.weight": [1, hidden],
    "output.bias": [1],
    mean: [1, 1],
    variance: [1, 1],
  })[name];

/** The mean over an example's tokens of what a model holds early: (B, width). */
function featuresOf(rec: Recorder, recorded: Recorded, batch: number): Tensor {
  const x = recorded.notes.get(GATE_NOTE);
  if (!x) throw new RangeError(`the model notes no ${GATE_NOTE}`);
  const [rows = 0, width = 0] = x.shape;
  if (rows === batch) return x;
  const tokens = rows / batch;
  const sums = sumTo(rec, rec.reshape(x, [batch, tokens, width]), [batch, 1, width]);
  return rec.reshape(scale(rec, sums, 1 / tokens), [batch, width]);
}

/** How many numbers a gate reads of a model. Throws UserError for a model that has no block to read. */
export function gateFeatures(model: Model): number {
  const rec = new Recorder(profileOf(model.gpu), { training: false });
  const { notes } = model.record(rec, { batch: 1, x: rec.input("x", [1, ...(model.sizes.example ?? [])]) });
  const width = notes.get(GATE_NOTE)?.shape[1];
  if (width === undefined)
    throw new UserError(
      "a gate reads what a model holds after its first block, and there is none",
      "mix such models with one weight for all inputs",
    );
  return width;
}

/** A gate on the GPU. */
export class Gate {
  readonly settings: GateSettings;
  readonly parameters: ReadonlyMap<Part, Parameter>;

  private constructor(gpu: Gpu, settings: GateSettings, values: ReadonlyMap<Part, Float32Array>, trainable: boolean) {
    this.settings = settings;
    const hidden = values.get("hidden.bias")!.length;
    const features = values.get("hidden.weight")!.length / hidden;
    this.parameters = new Map(
      PARTS.map((name) => {
        const isOwn = trainable && isTrained(name);
        const made = new Parameter(gpu, `gate.${name}`, shapeOf(name, features, hidden), "f32", isOwn);
        made.write(values.get(name)!);
        return [name, made] as const;
      }),
    );
  }

  /** A new gate over `features` numbers, drawn by seed. */
  static fresh(gpu: Gpu, settings: GateSettings, sizes: { features: number; hidden: number }, seed: number): Gate {
    const { features, hidden } = sizes;
    const values = new Map<Part, Float32Array>(
      PARTS.map((name) => {
        const count = sizeOf(shapeOf(name, features, hidden));
        const drawn = (into: number) => keyedNormals(count, Math.sqrt(2 / into), seed, `gate.${name}`);
        if (name === "hidden.weight") return [name, drawn(features)];
        if (name === "output.weight") return [name, drawn(hidden)];
        return [name, new Float32Array(count).fill(name === "variance" ? 1 : 0)];
      }),
    );
    return new Gate(gpu, settings, values, true);
  }

  /** A gate that was trained. */
  static of(gpu: Gpu, settings: GateSettings, values: ReadonlyMap<Part, Float32Array>): Gate {
    return new Gate(gpu, settings, values, false);
  }

  trainable(): Parameter[] {
    return [...this.parameters.values()].filter(({ trainable }) => trainable);
  }

  /**
   * scale gamma + bias of every example, (B, 1). `learning`: gamma is normalised over the batch, and the running
   * statistics follow.
   */
  record(
    rec: Recorder,
    both: readonly [accurate: Recorded, robust: Recorded],
    batch: number,
    { learning = false }: { readonly learning?: boolean } = {},
  ): Tensor {
    const of = (name: Part) => rec.parameter(this.parameters.get(name)!);
    const features = joinColumns(
      rec,
      both.map((recorded) => featuresOf(rec, recorded, batch)),
    );
    const width = this.parameters.get("hidden.weight")!.shape[1]!;
    if (features.shape[1] !== width)
      throw new UserError(
        `the gate reads ${width} numbers, and the two models hold ${features.shape[1]} after their first blocks`,
        "mix the models that the gate was trained between",
      );
    const h = relu(rec, linear(rec, features, of("hidden.weight"), { bias: of("hidden.bias") })); // (B, H)
    const raw = linear(rec, h, of("output.weight"), { bias: of("output.bias") }); // (B, 1)
    const [mean, variance] = learning ? this.#statistics(rec, raw, batch) : [of("mean"), of("variance")];
    const gamma = div(rec, sub(rec, raw, mean), sqrt(rec, addScalar(rec, variance, EPS)));
    return addScalar(rec, scale(rec, gamma, this.settings.scale), this.settings.bias);
  }

  /** Mean and variance over the batch, (1, 1) each, which the running ones follow. */
  #statistics(rec: Recorder, raw: Tensor, batch: number): [Tensor, Tensor] {
    const over = (x: Tensor) => scale(rec, sumTo(rec, x, [1, 1]), 1 / batch);
    const mean = over(raw);
    const variance = over(square(rec, sub(rec, raw, mean)));
    for (const [name, now] of [
      ["mean", mean],
      ["variance", variance],
    ] as const) {
      const { buffer } = this.parameters.get(name)!;
      const running = rec.state(`running ${name}`, [1, 1], buffer);
      const next = add(rec, scale(rec, running, 1 - MOMENTUM), scale(rec, now, MOMENTUM));
      rec.step({
        kernel: "recorder/add-into",
        bind: { x: next, y: running },
        params: { n: 1, accumulate: 0 },
        groups: [1],
      });
    }
    return [mean, variance];
  }

  /** Logarithms (B, 1) of the weights of both models, from what `record` gave. */
  logWeights(rec: Recorder, gated: Tensor): { readonly accurate: Tensor; readonly robust: Tensor } {
    const { least, span } = this.settings;
    const robust = addScalar(rec, scale(rec, sigmoid(rec, gated), span), least);
    return { accurate: log(rec, addScalar(rec, scale(rec, robust, -1), 1)), robust: log(rec, robust) };
  }

  free(): void {
    for (const parameter of this.parameters.values()) parameter.free();
  }
}

export { PARTS as GATE_PARTS, type Part as GatePart };
