/**
 * Weights of rewards by what the gradient of each does for all of them: with g_k the policy gradient of reward k alone,
 * its influence is s_k = sum over j of <g_k, g_j>, and ln w_k grows by a rate times s_k before w is a softmax again.
 * The sum of w_k r_k is what the policy is trained by. Lu et al. 2025, https://arxiv.org/abs/2509.11452
 *
 * The paper's rate is that of the model over 1e-5 for gradients of large models; here influences are divided by the
 * mean of the squared lengths, so that a step is as large whatever the model's size.
 */
import { UserError } from "../../../errors.ts";
import { isObject, type Json } from "../../../json.ts";
import { finished } from "../advantages.ts";
import type { Rewarded, SharedValues } from "../contract.ts";
import { aloneOf, columnOf } from "./alone.ts";
import type { Plain, Products, RewardWeights, Weighed } from "./contract.ts";

/** Sums of the rows of inner products over the mean of squared lengths; 0 of gradients that are all 0. */
export function influences(products: readonly (readonly number[])[]): number[] {
  const length = products.reduce((sum, row, k) => sum + row[k]!, 0) / products.length;
  return products.map((row) => (length > 0 ? row.reduce((a, b) => a + b, 0) / length : 0));
}

/** ln of a softmax. */
function normalized(logs: readonly number[]): number[] {
  const most = Math.max(...logs);
  const total = most + Math.log(logs.reduce((sum, x) => sum + Math.exp(x - most), 0));
  return logs.map((x) => x - total);
}

export class GradientWeights implements RewardWeights {
  readonly #names: readonly string[];
  readonly #rate: number;
  #logs: number[];

  /** Begins with equal weights. */
  constructor(names: readonly string[], rate: number) {
    [this.#names, this.#rate] = [names, rate];
    this.#logs = names.map(() => -Math.log(names.length));
  }

  /** Of the terms, adding up to 1. */
  get weights(): number[] {
    return this.#logs.map(Math.exp);
  }

  async weigh(given: Rewarded<never>, plain: Plain, products: Products): Promise<void> {
    const column = (k: number) => columnOf(given, k).map((value) => given.weights[k]! * value);
    const all = this.#names.map((_, k) => finished(aloneOf(given, plain, column(k)), given.values));
    const step = influences(await products(all));
    if (step.every(Number.isFinite)) this.#logs = normalized(this.#logs.map((x, k) => x + this.#rate * step[k]!));
  }

  weighed(given: Rewarded<never>, plain: Plain): Weighed {
    const own = this.weights;
    const rewards = given.rewards.map((reward, row) =>
      given.terms[row]!.reduce<number>(
        (sum, value, k) => sum + (own[k]! - 1) * given.weights[k]! * (value ?? 0),
        reward, // with what it has besides the terms
      ),
    );
    const { combine }: SharedValues = given.values;
    const weights = combine === "normalized" ? given.weights.map((weight, k) => own[k]! * weight) : given.weights;
    return { advantages: plain({ ...given, rewards, weights }) };
  }

  told(): Record<string, number> {
    return Object.fromEntries(this.weights.map((w, k) => [`weight.${this.#names[k]!.replaceAll("-", "_")}`, w]));
  }

  state(): Json {
    return { logs: [...this.#logs] };
  }

  load(state: Json): void {
    const { logs } = isObject(state) ? state : {};
    const isWhole = Array.isArray(logs) && logs.length === this.#names.length;
    if (!isWhole || !logs.every((x) => typeof x === "number" && Number.isFinite(x)))
      throw new UserError("the saved state of what weighs the rewards is damaged", "start again without --resume");
    this.#logs = logs as number[];
  }
}
