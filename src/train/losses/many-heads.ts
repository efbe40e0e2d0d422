/**
 * Contrast of two views under several projection heads, whose pairs have temperatures of their own (`train --loss
 * amcl`). With unit outputs z of head c, s_ij = <z_i, z_j>, i+ the other view of i's row:
 *
 *   tau_ij = LO + (HI - LO) sigmoid(phi_c(z_i, z_j)),  phi_c(a, b) = a' W_c b + b_c
 *   L_i = -sum_c log( e^{s_ii+ / tau_ii+} / sum_{j != i} e^{s_ij / tau_ij} )
 *   P = (beta / D) sum_c mean_{i != j} [ (D / 2) log tau_ij + 1 / tau_ij ],  D = numbers of an output
 *
 * P is least at tau = 2 / D and keeps temperatures from growing without bound. With one head and a fixed temperature it
 * is SimCLR, Chen et al., ICML 2020, https://arxiv.org/abs/2002.05709
 */
import type { Gpu } from "../../gpu/gpu.ts";
import { keyedUnits } from "../../keyed-random.ts";
import { unitRows } from "../../run/training/contrastive.ts";
import { relu } from "../../tensor/ops/activation.ts";
import { add, addScalar, div, log, neg, scale, sigmoid } from "../../tensor/ops/elementwise.ts";
import { gather } from "../../tensor/ops/gather.ts";
import { linear } from "../../tensor/ops/linear.ts";
import { dot, mean } from "../../tensor/ops/reduce.ts";
import { logSoftmax } from "../../tensor/ops/softmax.ts";
import { Parameter } from "../../tensor/parameter.ts";
import type { Recorder } from "../../tensor/recorder.ts";
import type { Tensor } from "../../tensor/tensor.ts";

/** What takes a row's likeness to itself out of a softmax. */
const APART = -1e9;

export interface Temperatures {
  readonly low: number;
  readonly high: number;
  /** Of every pair at first. */
  readonly first: number;
  /** Weight of P. */
  readonly prior: number;
}

export interface ManyHeadsOptions {
  readonly heads: number;
  /** Numbers of what a head reads, and of its output. */
  readonly width: number;
  readonly outputs: number;
  /** Of all pairs, or a learned one for each. */
  readonly temperature: number | Temperatures;
  readonly seed: number;
}

const PARTS = ["in.weight", "in.bias", "out.weight", "out.bias", "pair.weight", "pair.bias"] as const;
type Part = (typeof PARTS)[number];

export class ManyHeads {
  readonly parameters: readonly Parameter[];
  readonly #options: ManyHeadsOptions;
  readonly #parts: readonly ReadonlyMap<Part, Parameter>[];

  /** New heads, drawn by (seed, name). Pairs begin with one temperature. */
  constructor(gpu: Gpu, options: ManyHeadsOptions) {
    const { heads, width, outputs, temperature, seed } = options;
    this.#options = options;
    const drawn = (name: string, shape: readonly number[], into: number) => {
      const parameter = new Parameter(gpu, name, shape);
      const unit = keyedUnits(seed, name);
      const bound = Math.sqrt(3 / into);
      parameter.write(Float32Array.from({ length: parameter.size }, () => bound * (2 * unit() - 1)));
      return parameter;
    };
    const filled = (name: string, shape: readonly number[], value: number) => {
      const parameter = new Parameter(gpu, name, shape);
      parameter.write(new Float32Array(parameter.size).fill(value));
      return parameter;
    };
    this.#parts = Array.from({ length: heads }, (_, c) => {
      const name = (part: Part) => `amcl.${c}.${part}`;
      const own: [Part, Parameter][] = [
        ["in.weight", drawn(name("in.weight"), [width, width], width)],
        ["in.bias", filled(name("in.bias"), [width], 0)],
        ["out.weight", drawn(name("out.weight"), [outputs, width], width)],
        ["out.bias", filled(name("out.bias"), [outputs], 0)],
      ];
      if (typeof temperature !== "number") {
        const share = (temperature.first - temperature.low) / (temperature.high - temperature.low);
        own.push(["pair.weight", filled(name("pair.weight"), [outputs, outputs], 0)]);
        own.push(["pair.bias", filled(name("pair.bias"), [1], Math.log(share / (1 - share)))]);
      }
      return new Map(own);
    });
    this.parameters = this.#parts.flatMap((parts) => [...parts.values()]);
  }

  /** Unit outputs of a head (N, D), of hidden states (N, C). */
  outputs(rec: Recorder, hidden: Tensor, head: number): Tensor {
    const own = (part: Part) => rec.parameter(this.#parts[head]!.get(part)!);
    const inner = relu(rec, linear(rec, hidden, own("in.weight"), { bias: own("in.bias") }));
    return unitRows(rec, linear(rec, inner, own("out.weight"), { bias: own("out.bias") }));
  }

  /**
   * The loss of 2 B rows of hidden states (2 B, C), the second views behind the first, (1); and the mean temperature of
   * pairs, (1). Throws RangeError for an odd number of rows.
   */
  loss(rec: Recorder, hidden: Tensor): { readonly loss: Tensor; readonly temperature: Tensor } {
    const n = hidden.shape[0] ?? 0;
    if (n % 2 > 0) throw new RangeError(`${n} rows are not two views of each`);
    const { heads, outputs, temperature } = this.#options;
    const others = Int32Array.from({ length: n }, (_, i) => (i + n / 2) % n);
    const positives = rec.constant(others, [n, 1], "other views");
    const own = Float32Array.from({ length: n * n }, (_, at) => (at % (n + 1) === 0 ? APART : 0));
    const apart = rec.constant(own, [n, n], "a view itself");
    // 1 / pairs for every pair of two.
    const evenly = own.map((x) => (x === 0 ? 1 / (n * (n - 1)) : 0));
    const pairs = rec.constant(evenly, [n, n], "pairs");
    const parts = Array.from({ length: heads }, (_, head) => {
      const z = this.outputs(rec, hidden, head);
      const cosines = linear(rec, z, z);
      const taus = this.#temperatures(rec, z, head);
      const likeness = taus ? div(rec, cosines, taus) : scale(rec, cosines, 1 / Number(temperature));
      const found = gather(rec, logSoftmax(rec, add(rec, likeness, apart)), positives);
      const contrast = neg(rec, mean(rec, found));
      if (!taus || typeof temperature === "number") return { loss: contrast };
      const one = rec.constant(Float32Array.of(1), [1, 1], "one");
      const spread = add(rec, scale(rec, log(rec, taus), outputs / 2), div(rec, one, taus));
      const prior = scale(rec, dot(rec, spread, pairs), temperature.prior / outputs);
      return { loss: add(rec, contrast, prior), tau: dot(rec, taus, pairs) };
    });
    const sum = (list: readonly Tensor[]) => list.reduce((a, b) => add(rec, a, b));
    const known = parts.flatMap(({ tau }) => (tau ? [tau] : []));
    const fixed = () => rec.constant(Float32Array.of(Number(temperature)), [1], "temperature");
    return {
      loss: sum(parts.map(({ loss }) => loss)),
      temperature: known.length > 0 ? scale(rec, sum(known), 1 / heads) : scale(rec, fixed(), 1),
    };
  }

  /** Temperatures of all pairs (N, N); undefined where they are fixed. */
  #temperatures(rec: Recorder, z: Tensor, head: number): Tensor | undefined {
    const { temperature } = this.#options;
    if (typeof temperature === "number") return undefined;
    const { low, high } = temperature;
    const [weight, bias] = (["pair.weight", "pair.bias"] as const).map((part) =>
      rec.parameter(this.#parts[head]!.get(part)!),
    );
    const scores = linear(rec, linear(rec, z, weight!, { transposed: true }), z); // (N, N): z_i' W z_j
    const shares = sigmoid(rec, add(rec, scores, bias!));
    return addScalar(rec, scale(rec, shares, high - low), low);
  }
}
