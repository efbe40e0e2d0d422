/**
 * Weighs the gradients of an objective's two parts in every step so that neither part is sacrificed, and takes twice
 * their weighted sum: the descent mode of pareto-weights.ts, where the source is. With two parts the linear program has
 * a closed form, so that nothing is read back. For a = |g_1|^2, b = |g_2|^2 and c = min(<g_1, g_2>, 0)
 *
 *   w_1 = b / (b - c) where a > b, else -c / (a - c);  w_2 = 1 - w_1
 *
 * So the longer gradient counts alone where they agree, and as far as the other part allows where they do not. Products
 * are over all parameters together. Memory: two copies of the gradients.
 */
import type { PooledBuffer } from "../../gpu/buffer.ts";
import type { Gpu } from "../../gpu/gpu.ts";
import { spanGroups } from "../../gpu/grid.ts";
import { add, addScalar, clamp, div, mul, neg, scale, sub } from "../../tensor/ops/elementwise.ts";
import { dot } from "../../tensor/ops/reduce.ts";
import type { Parameter } from "../../tensor/parameter.ts";
import type { Recorder } from "../../tensor/recorder.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { Programs } from "../programs.ts";
import type { PassOptions, UpdateRule } from "./update-rule.ts";

/** Largest finite f32, and the smallest that a length is divided by. */
const [MOST, LEAST] = [3.4e38, 1e-30];

/** A parameter and its gradients of both parts. */
interface Held {
  readonly parameter: Parameter;
  readonly first: PooledBuffer;
  readonly second: PooledBuffer;
}

export class ParetoGradients implements UpdateRule {
  readonly name = "pareto";
  readonly #gpu: Gpu;
  readonly #held: readonly Held[];
  readonly #programs: Programs;

  constructor(gpu: Gpu, parameters: readonly Parameter[]) {
    this.#gpu = gpu;
    this.#programs = new Programs(gpu);
    const copy = (parameter: Parameter, which: string) =>
      gpu.buffer(Math.max(16, 4 * parameter.size), `${which} gradient of ${parameter.name}`);
    this.#held = parameters.map((parameter) => ({
      parameter,
      first: copy(parameter, "first"),
      second: copy(parameter, "second"),
    }));
  }

  /** Bytes held. */
  get bytes(): number {
    return this.#held.reduce((sum, { first, second }) => sum + first.bytes + second.bytes, 0);
  }

  /** Throws RangeError for other than two parts. */
  async combine(
    _: number,
    parts: readonly string[],
    pass: (part: string, options: PassOptions) => Promise<void>,
  ): Promise<void> {
    if (parts.length !== 2) throw new RangeError(`pareto weighs two parts, not ${parts.join(", ")}`);
    await pass(parts[0]!, { fresh: true, report: true });
    for (const { parameter, first } of this.#held)
      this.#gpu.copy(parameter.gradient, 0, first.buffer, 0, 4 * parameter.size);
    await pass(parts[1]!, { fresh: true, report: true });
    for (const { parameter, second } of this.#held)
      this.#gpu.copy(parameter.gradient, 0, second.buffer, 0, 4 * parameter.size);
    const { program } = await this.#programs.get("combine", (rec) => this.#record(rec));
    program.run();
  }

  #record(rec: Recorder): void {
    const parts = this.#held.map(({ parameter: { name, shape, size, gradient }, first, second }) => ({
      size,
      gradient: rec.state(`gradient of ${name}`, shape, gradient),
      first: rec.state(`first gradient of ${name}`, shape, first.buffer),
      second: rec.state(`second gradient of ${name}`, shape, second.buffer),
    }));
    const total = (of: (part: (typeof parts)[number]) => Tensor) => parts.map(of).reduce((x, y) => add(rec, x, y));
    const a = total(({ first }) => dot(rec, first, first)); // (1)
    const b = total(({ second }) => dot(rec, second, second)); // (1)
    const inner = total(({ first, second }) => dot(rec, first, second)); // (1)
    const c = clamp(rec, inner, -MOST, 0);
    const share = (part: Tensor, whole: Tensor) => div(rec, part, clamp(rec, sub(rec, whole, c), LEAST, MOST));
    const ifLonger = share(b, b);
    const ifShorter = share(neg(rec, c), a);
    // 1 where a > b, else 0: any positive f32 times the largest is above 1 once divided by what is tiny.
    const longer = clamp(rec, div(rec, sub(rec, a, b), clamp(rec, scale(rec, a, 1e-7), LEAST, MOST)), 0, 1);
    const w = add(rec, ifShorter, mul(rec, longer, sub(rec, ifLonger, ifShorter))); // (1)
    const factors = { first: scale(rec, w, 2), second: scale(rec, addScalar(rec, neg(rec, w), 1), 2) };
    for (const { size, gradient, ...own } of parts)
      for (const [i, which] of (["first", "second"] as const).entries())
        rec.step({
          kernel: "reduce/scaled-by",
          bind: { x: own[which], factor: factors[which], y: gradient },
          params: { count: size, scale: 1, accumulate: i },
          groups: spanGroups(size),
        });
  }

  free(): void {
    this.#programs.free();
    for (const { first, second } of this.#held) {
      first.free();
      second.free();
    }
  }
}
