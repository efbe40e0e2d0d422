/**
 * Rates of their own for units of what is trained: the more a unit matters to rows that are to be kept, the less it
 * moves. ADEPT, ICLR 2026, https://arxiv.org/abs/2510.10071.
 *
 *   u = mean over the unit of |theta| x mean over batches |gradient|
 *   factor of its step = 2 (u_max - u) / (u_max - u_min), over all units that are trained; 1 where all are alike
 *
 * Importances are measured before the first step and again every so many. Where rows come in groups (text, and
 * instructions with their prompts left out), each group counts alike. A unit is a tensor, as in the authors' code, a
 * row of it, or a head.
 *
 * Memory: that of the scaled steps, and activations of a batch of these rows.
 */
import type { Batch } from "../../../data/batch.ts";
import { UserError } from "../../../errors.ts";
import type { Model } from "../../../model/model.ts";
import type { Parameter } from "../../../tensor/parameter.ts";
import { headSize, makesHeads } from "../../fisher/attention-heads.ts";
import { matrixOf, UnitProducts } from "../../fisher/unit-products.ts";
import { Programs } from "../../programs.ts";
import { crossEntropyObjective } from "../cross-entropy.ts";
import type { UpdateRule } from "../update-rule.ts";
import { UnitScales } from "./unit-scales.ts";

export type Unit = "tensor" | "row" | "head";

export interface UnitRatesOptions {
  /** Batches of each group of rows. */
  readonly groups: readonly (readonly Batch[])[];
  readonly unit: Unit;
  /** Steps from one measurement to the next. */
  readonly every: number;
  readonly seed: number;
  readonly signal: AbortSignal;
}

/** A weight's rows (or columns) as units of so many neighbours. */
interface Divided {
  readonly parameter: Parameter;
  readonly along: "row" | "column";
  readonly lines: number;
  /** Lines of a unit. */
  readonly size: number;
  /** Values of a line. */
  readonly width: number;
}

/** How a weight is divided. What makes no heads is one unit where heads are asked for. */
function divide(model: Model, parameter: Parameter, unit: Unit): Divided {
  const { rows, columns } = matrixOf(parameter.shape);
  const along = model.isInFirst(parameter) && parameter.shape.length === 2 ? "column" : "row";
  const [lines, width] = along === "row" ? [rows, columns] : [columns, rows];
  const head = unit === "head" && makesHeads(parameter) ? headSize(model) : lines;
  return { parameter, along, lines, width, size: unit === "row" ? 1 : lines % head === 0 ? head : lines };
}

/** The factor of every unit, from the importances of all. */
export function unitFactors(importances: readonly (readonly number[])[]): number[][] {
  const all = importances.flat();
  const most = all.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
  const least = all.reduce((a, b) => Math.min(a, b), Number.POSITIVE_INFINITY);
  return importances.map((own) => own.map((u) => (most === least ? 1 : (2 * (most - u)) / (most - least))));
}

export class UnitRates implements UpdateRule {
  readonly name = "unit-rates";
  readonly #model: Model;
  readonly #options: UnitRatesOptions;
  readonly #divided: readonly Divided[];
  readonly #scales: UnitScales;
  readonly #products: UnitProducts;
  readonly #programs: Programs;

  private constructor(model: Model, options: UnitRatesOptions, divided: readonly Divided[], products: UnitProducts) {
    this.#model = model;
    this.#options = options;
    this.#divided = divided;
    this.#products = products;
    this.#programs = new Programs(model.gpu, { training: true });
    const scales = divided.map(({ parameter, along, lines }) => {
      return { parameter, along, factors: new Float32Array(lines).fill(1) };
    });
    this.#scales = new UnitScales(model.gpu, scales, {
      ...{ name: this.name, apply: "update", seed: options.seed, changing: true },
    });
  }

  /** For all weights that are trained. Throws UserError where a group has no rows that count. */
  static async make(model: Model, options: UnitRatesOptions): Promise<UnitRates> {
    const divided = model.trainable().map((parameter) => divide(model, parameter, options.unit));
    return new UnitRates(model, options, divided, await UnitProducts.make(model.gpu, divided, { magnitude: true }));
  }

  get kept(): readonly Parameter[] {
    return this.#scales.kept;
  }
  get bytes(): number {
    return this.#scales.bytes + this.#products.bytes;
  }

  async ahead(step: number): Promise<void> {
    if ((step - 1) % this.#options.every === 0) await this.#measure();
  }

  before(): Promise<void> {
    return this.#scales.before();
  }
  after(step: number): Promise<void> {
    return this.#scales.after(step);
  }

  async #measure(): Promise<void> {
    const { groups } = this.#options;
    this.#products.clear();
    for (const { parameter } of this.#divided)
      this.#model.gpu.clear(parameter.gradient, Math.max(16, 4 * parameter.size));
    for (const batches of groups)
      for (const batch of batches) await this.#add(batch, 1 / (groups.length * batches.length));
    const importances: number[][] = [];
    for (const [place, { lines, size, width }] of this.#divided.entries()) {
      const sums = await this.#products.read(place);
      const units = new Float64Array(lines / size);
      for (const [line, sum] of sums.entries()) units[Math.floor(line / size)]! += sum / (size * width);
      importances.push([...units]);
    }
    for (const [place, factors] of unitFactors(importances).entries()) {
      const { lines, size } = this.#divided[place]!;
      this.#scales.set(
        place,
        Float32Array.from({ length: lines }, (_, line) => factors[Math.floor(line / size)]!),
      );
    }
  }

  async #add(batch: Batch, share: number): Promise<void> {
    this.#options.signal.throwIfAborted();
    const objective = crossEntropyObjective(this.#model);
    const { program } = await this.#programs.get(objective.key(batch), (rec) => {
      const { backward, metrics } = objective.record(rec, batch, "");
      rec.output("loss", metrics.loss!);
      rec.backward(backward);
    });
    objective.fill(program, batch, objective.counted(batch, ""), "");
    program.run({ accumulate: 0, seed: 0 });
    this.#products.add(share);
    const [loss] = await program.read("loss"); // keeps the queue of work bounded
    if (Number.isFinite(loss) || this.#model.gpu.dry) return;
    const where = objective.describe?.(batch);
    throw new UserError(
      `--unit-rates: the loss of ${where} is ${loss}`,
      "the model's weights are not finite, or these rows are not for it",
      1,
    );
  }

  free(): void {
    this.#programs.free();
    this.#products.free();
    this.#scales.free();
  }
}
