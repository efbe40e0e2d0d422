/**
 * How the gradient of each group's loss agrees with that of held-out rows, both of the weights as they are: exact
 * products over all that is trained. GPU memory: a copy of the gradients, besides activations of its own.
 */
import { type Batch, batchKey } from "../data/batch.ts";
import { Random } from "../data/random.ts";
import { UserError } from "../errors.ts";
import type { Model } from "../model/model.ts";
import { Programs } from "../run/programs.ts";
import { crossEntropyObjective } from "../run/training/cross-entropy.ts";
import type { HeldOutGroup } from "../run/training/held-out.ts";
import { GradientCopies, recordDot } from "../run/training/rules/gradient-copies.ts";
import type { GroupAlignment } from "./contract.ts";
import type { Rows } from "./source.ts";

export interface AlignmentOptions {
  readonly model: Model;
  readonly rows: Rows;
  /** Whose loss is to fall: each group's mean counts alike. */
  readonly held: readonly HeldOutGroup[];
  /** Rows of each group that its gradient is of. */
  readonly batchSize: number;
  readonly seed: number;
}

const TARGET = "target";

/** Held-out groups of the names; all when left out. Throws UserError where there are none, or one is not there. */
export function aimedAt(
  held: readonly HeldOutGroup[],
  names: readonly string[] | undefined,
  what: string,
): readonly HeldOutGroup[] {
  if (held.length === 0)
    throw new UserError(`${what} needs held-out rows`, "give --eval-data held.jsonl, or --eval-split 0.1");
  const known = held.map(({ name }) => name);
  const odd = names?.find((name) => !known.includes(name));
  if (odd !== undefined) throw new UserError(`--aim ${odd} is no held-out group`, `they are ${known.join(", ")}`);
  return names ? held.filter(({ name }) => names.includes(name)) : held;
}

export class Alignments {
  readonly #given: AlignmentOptions;
  readonly #objective: ReturnType<typeof crossEntropyObjective>;
  readonly #gradients: Programs;
  readonly #products: Programs;
  readonly #copies: GradientCopies;
  readonly #members: readonly (readonly number[])[];

  constructor(given: AlignmentOptions) {
    const { model, rows } = given;
    this.#given = given;
    this.#objective = crossEntropyObjective(model);
    this.#gradients = new Programs(model.gpu, { training: true });
    this.#products = new Programs(model.gpu);
    this.#copies = new GradientCopies(model.gpu, model.trainable());
    this.#copies.reserve(TARGET);
    this.#members = rows.names.map((_, g) => [...rows.group.keys()].filter((row) => rows.group[row] === g));
  }

  #counted(batch: Batch): number {
    return this.#objective.counted(batch, "");
  }

  /** Leaves the gradient of sum of losses over `total` in the gradients, added to what is there where asked for. */
  async #pass(batch: Batch, total: number, accumulate: 0 | 1): Promise<void> {
    const { program } = await this.#gradients.get(batchKey(batch), (rec) => {
      const { backward, metrics } = this.#objective.record(rec, batch, "");
      rec.output("loss", metrics.loss!);
      rec.backward(backward);
    });
    this.#objective.fill(program, batch, total, "");
    program.run({ accumulate, seed: 0 });
  }

  #clear(): void {
    const { model } = this.#given;
    for (const { gradient, size } of model.trainable()) model.gpu.clear(gradient, Math.max(16, 4 * size));
  }

  /** Puts the gradient of the mean over groups of held-out losses aside. */
  async #target(): Promise<void> {
    const { held } = this.#given;
    this.#clear();
    const known = held.filter(({ batches }) => batches.some((batch) => this.#counted(batch) > 0));
    let isFirst = true;
    for (const { batches } of known) {
      const counted = batches.reduce((sum, batch) => sum + this.#counted(batch), 0);
      for (const batch of batches) {
        await this.#pass(batch, counted * known.length, isFirst ? 0 : 1);
        isFirst = false;
      }
    }
    this.#copies.keep(TARGET);
  }

  /** Of every group, on rows that are drawn for this step. */
  async measure(step: number): Promise<GroupAlignment[]> {
    const { rows, batchSize, seed } = this.#given;
    await this.#target();
    const { program } = await this.#products.get("products", (rec) => {
      const [own, target] = [this.#copies.record(rec), this.#copies.record(rec, TARGET)];
      rec.output("product", recordDot(rec, own, target));
      rec.output("square", recordDot(rec, own, own));
    });
    const found: GroupAlignment[] = [];
    for (const [g, name] of rows.names.entries()) {
      const random = new Random(seed, "alignment", name, step);
      const drawn = random.shuffled(this.#members[g]!).slice(0, batchSize);
      const { batch } = rows.batch(drawn);
      const counted = this.#counted(batch);
      if (counted === 0) {
        found.push({ product: Number.NaN, norm: Number.NaN });
        continue;
      }
      this.#clear();
      await this.#pass(batch, counted, 0);
      program.run();
      const [product, square] = [await program.read("product"), await program.read("square")];
      found.push({ product: product[0]!, norm: Math.sqrt(square[0]!) });
    }
    this.#clear();
    return found;
  }

  get bytes(): number {
    return this.#copies.bytes;
  }

  free(): void {
    this.#gradients.free();
    this.#products.free();
    this.#copies.free();
  }
}
