/**
 * One gradient of those of several groups of rows: their sum with weights that are found in every step, from the
 * products of the gradients.
 *
 *   g = sum_j w_j g_j,  w from M_ij = <g_i, g_j>     g_j the gradient of the mean loss of group j
 *
 * Products are over the shared parameters together; the others take the mean over the groups. A step has the groups
 * that come in its rows; where there is one, its gradient stays as it is. Weights that are recorded never leave the
 * GPU; those that are solved for wait for the M x M products and are found in f64 on the host. GPU memory: a copy of
 * the gradients for each group.
 */
import type { Gpu } from "../../../gpu/gpu.ts";
import { spanGroups } from "../../../gpu/grid.ts";
import { joinColumns, splitColumns } from "../../../tensor/ops/columns.ts";
import type { Parameter } from "../../../tensor/parameter.ts";
import type { Program } from "../../../tensor/program.ts";
import type { Recorder } from "../../../tensor/recorder.ts";
import { stretches } from "../../../tensor/stretches.ts";
import { sizeOf, type Tensor } from "../../../tensor/tensor.ts";
import { Programs } from "../../programs.ts";
import type { PassOptions, UpdateRule } from "../update-rule.ts";
import { GradientCopies, recordDot } from "./gradient-copies.ts";

/** Weights that are found on the GPU. */
export interface RecordedWeights {
  /** Weights (M) of M gradients, from their products (M, M). */
  record(rec: Recorder, gram: () => Tensor, count: number): Tensor;
  /** Fills what the recording reads, for step `step` (from 1). */
  fill?(program: Program, step: number, groups: readonly string[]): void;
}

/** Weights that are found on the host. */
export interface SolvedWeights {
  /** Of the groups of a step, from the products of their gradients. */
  solve(gram: readonly (readonly number[])[], groups: readonly string[]): readonly number[];
  /** A group that only guides: alone in a step, too, it is solved for. */
  readonly guide?: string | undefined;
}

export interface GroupGradientsOptions {
  readonly name: string;
  readonly groups: readonly string[];
  /** Whether a parameter's gradients are compared and weighed; all when left out. */
  readonly isShared?: ((name: string) => boolean) | undefined;
}

export class GroupGradients implements UpdateRule {
  readonly name: string;
  readonly #gpu: Gpu;
  readonly #copies: GradientCopies;
  readonly #programs: Programs;
  readonly #shared: readonly boolean[];
  readonly #weights: RecordedWeights | SolvedWeights;

  /** Takes all memory that it will need. */
  constructor(
    gpu: Gpu,
    parameters: readonly Parameter[],
    { name, groups, isShared }: GroupGradientsOptions,
    weights: RecordedWeights | SolvedWeights,
  ) {
    this.name = name;
    this.#gpu = gpu;
    this.#copies = new GradientCopies(gpu, parameters);
    this.#programs = new Programs(gpu);
    this.#shared = parameters.map((parameter) => isShared?.(parameter.name) ?? true);
    this.#weights = weights;
    for (const group of groups) this.#copies.reserve(group);
  }

  get bytes(): number {
    return this.#copies.bytes;
  }

  async combine(
    step: number,
    groups: readonly string[],
    pass: (part: string, options: PassOptions) => Promise<void>,
  ): Promise<void> {
    const [first] = groups;
    const weights = this.#weights;
    if (groups.length === 1 && !("guide" in weights && weights.guide === first))
      return pass(first!, { fresh: true, report: true });
    for (const group of groups) {
      await pass(group, { fresh: true, report: true });
      this.#copies.keep(group);
    }
    if ("record" in weights) await this.#recorded(weights, step, groups);
    else await this.#solved(weights, groups);
  }

  async #recorded(weights: RecordedWeights, step: number, groups: readonly string[]): Promise<void> {
    const { program } = await this.#programs.get(groups.join("/"), (rec) => {
      const all = groups.map((group) => this.#copies.record(rec, group));
      const found = weights.record(rec, () => this.#gram(rec, all), groups.length);
      const each = splitColumns(
        rec,
        rec.reshape(found, [1, groups.length]),
        groups.map(() => 1),
      );
      this.#sum(rec, all, each);
    });
    weights.fill?.(program, step, groups);
    program.run();
  }

  async #solved(weights: SolvedWeights, groups: readonly string[]): Promise<void> {
    const m = groups.length;
    const { program: products } = await this.#programs.get(`products ${groups.join("/")}`, (rec) => {
      const all = groups.map((group) => this.#copies.record(rec, group));
      rec.output("gram", this.#gram(rec, all));
    });
    const { program } = await this.#programs.get(`sum ${groups.join("/")}`, (rec) => {
      const all = groups.map((group) => this.#copies.record(rec, group));
      this.#sum(
        rec,
        all,
        groups.map((group) => rec.input(`weight of ${group}`, [1])),
      );
    });
    products.run();
    if (this.#gpu.dry) return;
    const flat = await products.read("gram");
    const gram = groups.map((_, i) => [...flat.slice(i * m, (i + 1) * m)]);
    // A gradient that is not finite goes on as it is, so that the step is told of.
    const known = flat.every((value) => Number.isFinite(value));
    const found = known ? weights.solve(gram, groups) : groups.map(() => 1 / m);
    for (const [i, group] of groups.entries()) program.write(`weight of ${group}`, Float32Array.of(found[i]!));
    program.run();
  }

  /** Products (M, M) over the shared parameters. */
  #gram(rec: Recorder, all: readonly (readonly Tensor[])[]): Tensor {
    const m = all.length;
    const shared = all.map((own) => own.filter((_, i) => this.#shared[i]));
    const cells = new Map<string, Tensor>();
    for (let i = 0; i < m; i++)
      for (let k = 0; k <= i; k++) {
        const cell = rec.reshape(recordDot(rec, shared[i]!, shared[k]!), [1, 1]);
        cells.set(`${i} ${k}`, cell).set(`${k} ${i}`, cell);
      }
    const places = Array.from({ length: m * m }, (_, at) => cells.get(`${Math.floor(at / m)} ${at % m}`)!);
    return rec.reshape(joinColumns(rec, places), [m, m]);
  }

  /** Leaves the weighted sum in the gradients; of parameters that are not shared the mean. */
  #sum(rec: Recorder, all: readonly (readonly Tensor[])[], weights: readonly Tensor[]): void {
    const into = this.#copies.record(rec);
    const mean = rec.constant(Float32Array.of(1 / all.length), [1], "share of a group");
    for (const [j, own] of all.entries())
      for (const [i, from] of own.entries())
        for (const { count, of } of stretches(rec, sizeOf(from.shape)))
          rec.step({
            kernel: "reduce/scaled-by",
            bind: { x: of(from), factor: this.#shared[i] ? weights[j]! : mean, y: of(into[i]!) },
            params: { count, scale: 1, accumulate: j === 0 ? 0 : 1 },
            groups: spanGroups(count),
          });
  }

  free(): void {
    this.#programs.free();
    this.#copies.free();
  }
}
