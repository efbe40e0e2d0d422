/**
 * Inner products of the gradients that the answers of a rollout give under each of several advantages, with the policy
 * as it is. Divergence from the model as it was and losses of pairs are left out. Memory: a copy of the gradients for
 * each, and the activations of a micro-batch; the model's own gradients are overwritten.
 */
import { UserError } from "../../../errors.ts";
import type { PooledBuffer } from "../../../gpu/buffer.ts";
import type { Gpu } from "../../../gpu/gpu.ts";
import type { Bound } from "../../../method/bind.ts";
import { countSteps } from "../../../model/adapters/told.ts";
import type { Model } from "../../../model/model.ts";
import { matcher } from "../../../run/name-patterns.ts";
import { Programs } from "../../../run/programs.ts";
import type { Objective } from "../../../run/training/objective.ts";
import { add } from "../../../tensor/ops/elementwise.ts";
import { dot } from "../../../tensor/ops/reduce.ts";
import type { Parameter } from "../../../tensor/parameter.ts";
import type { PolicyMethod, SharedValues } from "../contract.ts";
import { type PolicyBatch, policyObjective } from "../objective.ts";

export interface ProductsSetup {
  readonly model: Model;
  readonly chosen: Bound<PolicyMethod>;
  readonly recompute: boolean;
  /** Gradients that are held, one for each reward. */
  readonly rewards: number;
  /** Globs of weights whose gradients count; all that are trained when left out. */
  readonly among?: readonly string[] | undefined;
}

/** A parameter whose gradients count, and those of each reward. */
interface Held {
  readonly parameter: Parameter;
  readonly copies: readonly PooledBuffer[];
}

/** Pairs i <= j. */
const pairsOf = (count: number): [number, number][] =>
  Array.from({ length: count }, (_, i) =>
    Array.from({ length: count - i }, (__, j): [number, number] => [i, i + j]),
  ).flat();

export class GradientProducts {
  readonly #gpu: Gpu;
  readonly #objective: Objective<PolicyBatch>;
  readonly #passes: Programs<ReadonlySet<Parameter>>;
  readonly #products: Programs;
  readonly #held: readonly Held[];

  /** Throws UserError where no weight that is trained is among those that count. */
  constructor({ model, chosen, recompute, rewards, among = [] }: ProductsSetup) {
    const { gpu } = model;
    this.#gpu = gpu;
    const values: SharedValues = chosen.values;
    const plain = { method: chosen.method, values: { ...values, kl: 0, pair_weight: 0 } as never };
    this.#objective = policyObjective({ model, chosen: plain, recompute });
    this.#passes = new Programs(gpu, { training: true });
    this.#products = new Programs(gpu);
    const counts = among.length > 0 ? matcher(among) : () => true;
    const parameters = model.trainable().filter(({ name }) => counts(name));
    if (parameters.length === 0)
      throw new UserError(
        `--gradients-of ${among.join(" ")} names none of the weights that are trained`,
        "patterns are of whole names: '*.layers.1?.*'; bun run inspect lists them",
      );
    this.#held = parameters.map((parameter) => ({
      parameter,
      copies: Array.from({ length: rewards }, (_, k) =>
        gpu.buffer(Math.max(16, 4 * parameter.size), `gradient ${k + 1} of ${parameter.name}`),
      ),
    }));
  }

  #pass(batch: PolicyBatch) {
    return this.#passes.get(this.#objective.key(batch), (rec) => {
      countSteps(rec);
      rec.backward(this.#objective.record(rec, batch, "").backward);
      return rec.reached();
    });
  }

  /** Takes the memory for batches of this shape, and runs nothing. */
  async plan(batch: PolicyBatch): Promise<void> {
    await this.#pass({ ...batch, old: undefined });
  }

  /** `all`: the micro-batches of the rollout under each of the advantages. Symmetric, (K, K). */
  async of(all: readonly (readonly PolicyBatch[])[]): Promise<number[][]> {
    const bytes = (parameter: Parameter) => Math.max(16, 4 * parameter.size);
    for (const [k, batches] of all.entries()) {
      for (const { parameter } of this.#held) this.#gpu.clear(parameter.gradient, bytes(parameter));
      for (const batch of batches) {
        const { program } = await this.#pass(batch);
        this.#objective.fill(program, batch, 0, "");
        // Gradients that a pass does not reach stay 0.
        program.run({ step: 1, accumulate: 1, seed: 0 });
      }
      for (const { parameter, copies } of this.#held)
        this.#gpu.copy(parameter.gradient, 0, copies[k]!.buffer, 0, 4 * parameter.size);
    }
    const pairs = pairsOf(all.length);
    const { program } = await this.#products.get(`${all.length}`, (rec) => {
      const gradients = this.#held.map(({ parameter: { name, shape }, copies }) =>
        copies.map(({ buffer }, k) => rec.state(`gradient ${k + 1} of ${name}`, shape, buffer)),
      );
      for (const [i, j] of pairs) {
        const parts = gradients.map((own) => dot(rec, own[i]!, own[j]!));
        rec.output(
          `${i} ${j}`,
          parts.reduce((a, b) => add(rec, a, b)),
        );
      }
    });
    program.run();
    const found = all.map(() => all.map(() => 0));
    const read = await Promise.all(pairs.map(([i, j]) => program.read(`${i} ${j}`)));
    for (const [at, [i, j]] of pairs.entries()) found[i]![j] = found[j]![i] = read[at]![0]!;
    return found;
  }

  free(): void {
    this.#passes.free();
    this.#products.free();
    for (const { copies } of this.#held) for (const copy of copies) copy.free();
  }
}
