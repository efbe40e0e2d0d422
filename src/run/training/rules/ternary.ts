/**
 * Ternary weights in training: the model runs with g clip(round(W / g), -1, 1), g the mean magnitude of the matrix, and
 * the gradient there moves W (straight through). Ma et al. 2024, https://arxiv.org/abs/2402.17764
 *
 * The result is ternary; states of a run, and what is measured on the way, are of W. Memory: a copy of the matrices.
 */
import { UserError } from "../../../errors.ts";
import { spanGroups } from "../../../gpu/grid.ts";
import type { Model } from "../../../model/model.ts";
import { abs } from "../../../tensor/ops/elementwise.ts";
import { rowSum } from "../../../tensor/ops/reduce.ts";
import type { Parameter } from "../../../tensor/parameter.ts";
import { matcher } from "../../name-patterns.ts";
import { Programs } from "../../programs.ts";
import { Perturbation } from "../perturbation.ts";
import type { UpdateRule } from "../update-rule.ts";

/** Trained matrices that patterns name. Throws UserError where there are none, or a stack is named in part. */
export function ternaryMatrices(model: Model, patterns: readonly string[]): Parameter[] {
  const fits = matcher(patterns);
  const trained = new Set(model.trainable());
  const found = Map.groupBy(
    model.stored.filter(({ parameter, shape }) => trained.has(parameter) && shape.length > 1),
    ({ parameter }) => parameter,
  );
  const chosen = [...found].filter(([, parts]) => parts.some(({ name }) => fits(name)));
  const torn = chosen.flatMap(([, parts]) => parts.filter(({ name }) => !fits(name)))[0];
  if (torn)
    throw new UserError(
      `--ternary ${patterns.join(" ")} names some experts of a stack, and not ${torn.name}`,
      "name all of them: *.experts.*",
    );
  if (chosen.length > 0) return chosen.map(([parameter]) => parameter);
  throw new UserError(
    `--ternary ${patterns.join(" ")} names no matrix that is trained`,
    "bun run inspect MODEL lists the tensors by name",
  );
}

/** Of matrices (out, in), or stacks of them (parts, out, in), in f32. */
export class TernaryWeights implements UpdateRule {
  readonly name = "ternary";
  readonly #programs: Programs;
  readonly #weights: Perturbation;
  readonly #parameters: readonly Parameter[];

  constructor({ gpu }: Pick<Model, "gpu">, parameters: readonly Parameter[]) {
    this.#programs = new Programs(gpu);
    this.#weights = new Perturbation(gpu, parameters, ["weights"]);
    this.#parameters = parameters;
  }

  get bytes(): number {
    return this.#weights.bytes;
  }

  async part(_: number, pass: Parameters<NonNullable<UpdateRule["part"]>>[1]): Promise<void> {
    this.#weights.save();
    await this.#round();
    await pass({ fresh: true, report: true });
    this.#weights.restore();
  }

  async end(): Promise<void> {
    await this.#round();
  }

  async #round(): Promise<void> {
    const { program } = await this.#programs.get("round", (rec) => {
      for (const { name, shape, size, buffer } of this.#parameters) {
        const parts = shape.length === 3 ? shape[0]! : 1;
        const weight = rec.state(name, [parts, size / parts], buffer);
        const means = rowSum(rec, abs(rec, weight), parts / size);
        rec.step({
          kernel: "training/ternary",
          bind: { means, weight },
          params: { n: size / parts, parts },
          groups: spanGroups(size),
        });
      }
    });
    program.run();
  }

  free(): void {
    this.#programs.free();
    this.#weights.free();
  }
}
