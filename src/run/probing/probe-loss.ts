/**
 * The mean cross-entropy of batches that stay the same, and its gradients at the weights as they are. Batch norms go by
 * their running statistics, so that looking changes nothing.
 *
 * GPU memory: the activations of a batch, and the gradients of what is trained, which training has, too.
 */
import type { Batch } from "../../data/batch.ts";
import type { Model } from "../../model/model.ts";
import type { Parameter } from "../../tensor/parameter.ts";
import type { Program } from "../../tensor/program.ts";
import { Programs } from "../programs.ts";
import { crossEntropyObjective } from "../training/cross-entropy.ts";

/** A batch's program, and the parameters that its gradient does not reach. */
interface Part {
  readonly batch: Batch;
  readonly program: Program;
  readonly untouched: readonly Parameter[];
}

export class ProbeLoss {
  readonly parameters: readonly Parameter[];
  readonly #model: Model;
  readonly #objective: ReturnType<typeof crossEntropyObjective>;
  readonly #programs: Programs<readonly Parameter[]>;
  readonly #parts: Part[] = [];
  readonly #total: number;

  private constructor(model: Model, batches: readonly Batch[]) {
    this.#model = model;
    this.parameters = model.trainable();
    this.#objective = crossEntropyObjective(model);
    this.#programs = new Programs(model.gpu, { training: true });
    this.#total = batches.reduce((sum, { counted }) => sum + counted, 0);
  }

  /** Compiles what it needs. */
  static async make(model: Model, batches: readonly Batch[]): Promise<ProbeLoss> {
    const made = new ProbeLoss(model, batches);
    for (const batch of batches) {
      const { program, recorded } = await made.#programs.get(made.#objective.key(batch), (rec) => {
        const { backward, metrics } = made.#objective.record(rec, batch, "");
        rec.output("loss", metrics.loss!);
        rec.backward(backward);
        const reached = rec.reached();
        return made.parameters.filter((parameter) => !reached.has(parameter));
      });
      made.#parts.push({ batch, program, untouched: recorded });
    }
    return made;
  }

  get bytes(): number {
    return this.#programs.slots.bytes + this.#programs.ownBytes;
  }

  /**
   * Leaves the gradients of the loss in those of the parameters, without a wait; resolves to the loss once the GPU is
   * done.
   */
  gradients(): Promise<number> {
    const { gpu } = this.#model;
    for (const { gradient, size } of this.#parts[0]?.untouched ?? []) gpu.clear(gradient, Math.max(16, 4 * size));
    const losses = this.#parts.map(({ batch, program }, i) => {
      this.#objective.fill(program, batch, this.#total, "");
      program.run({ step: 1, accumulate: i === 0 ? 0 : 1, seed: 0 });
      return program.read("loss");
    });
    const loss = Promise.all(losses).then((found) => found.reduce((sum, [own]) => sum + own!, 0));
    loss.catch(() => {}); // a caller may want the gradients alone
    return loss;
  }

  free(): void {
    this.#programs.free();
  }
}
