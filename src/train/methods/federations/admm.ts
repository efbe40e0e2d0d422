/**
 * Consensus ADMM whose clients carry no dual variable: what stands for it is the gradient of a client's own loss at its
 * last iterate.
 *
 *   client  x+ = argmin J(x) - <grad J(x_k), x> + rho/2 |x - w|^2, by some local steps from x_k
 *   server  w+ = mean over those that arrived of 2 x_k+ - x_k
 *
 * arXiv:2409.13451 (2024). A step's gradient is that of its rows at x, less that of the same rows at x_k, plus rho (x -
 * w): over all rows it is the gradient of the problem, and a batch's own noise falls away where x is near x_k. The
 * first round has no x_k, and solves J + rho/2 |x - w|^2. Clients that no one asks go on with the weights that they
 * were last sent. Memory: four copies of what is trained. Steps cost two passes, but for the first round's.
 */
import type { PooledBuffer } from "../../../gpu/buffer.ts";
import type { Gpu } from "../../../gpu/gpu.ts";
import { defineFederation, type LocalPart, type Tensors } from "../../../run/among/contract.ts";
import { iterateWeights } from "../../../run/among/rules/participation.ts";
import { bytesOf, updateOf, weightedSum } from "../../../run/among/tensors.ts";
import { Programs } from "../../../run/programs.ts";
import { recordAddScaled } from "../../../run/training/add-scaled.ts";
import { Perturbation } from "../../../run/training/perturbation.ts";
import type { Parameter } from "../../../tensor/parameter.ts";

/** The pull towards weights that came: gradient += rho (x - w). */
class Pull {
  readonly #gpu: Gpu;
  readonly #programs: Programs;
  readonly #held: readonly { readonly parameter: Parameter; readonly anchor: PooledBuffer }[];

  constructor(gpu: Gpu, parameters: readonly Parameter[]) {
    this.#gpu = gpu;
    this.#programs = new Programs(gpu);
    this.#held = parameters.map((parameter) => ({
      parameter,
      anchor: gpu.buffer(Math.max(16, 4 * parameter.size), `weights sent of ${parameter.name}`),
    }));
  }

  get bytes(): number {
    return this.#held.reduce((sum, { anchor }) => sum + anchor.bytes, 0);
  }

  towards(global: Tensors): void {
    for (const { parameter, anchor } of this.#held)
      this.#gpu.write(anchor.buffer, 0, bytesOf(global.get(parameter.name)!));
  }

  async #add(factor: number, which: "own" | "anchor"): Promise<void> {
    const { program } = await this.#programs.get(which, (rec) => {
      for (const { parameter, anchor } of this.#held) {
        const { name, shape, buffer, gradient } = parameter;
        const from = rec.state(`${which} of ${name}`, shape, which === "own" ? buffer : anchor.buffer);
        recordAddScaled(rec, from, rec.state(`gradient of ${name}`, shape, gradient));
      }
    });
    program.run({ a: factor, b: 1 });
  }

  async pull(rho: number): Promise<void> {
    await this.#add(rho, "own");
    await this.#add(-rho, "anchor");
  }

  free(): void {
    this.#programs.free();
    for (const { anchor } of this.#held) anchor.free();
  }
}

/** What changes a client's steps. */
function steps(gpu: Gpu, parameters: readonly Parameter[], rho: number): LocalPart {
  const weights = new Perturbation(gpu, parameters, ["weights", "here", "last"]);
  const pull = new Pull(gpu, parameters);
  let isFirst = true;
  return {
    begin({ global, kept }) {
      pull.towards(global);
      isFirst = kept.tensors.size === 0;
      if (isFirst) return undefined;
      const last = weights.kept("last");
      for (const parameter of parameters)
        gpu.write(last.get(parameter)!, 0, bytesOf(kept.tensors.get(parameter.name)!));
      return kept.tensors;
    },
    updates: [
      {
        name: "admm",
        async part(_, pass) {
          await pass({ fresh: true, report: true });
          if (isFirst) return;
          weights.keep("here");
          weights.save();
          const last = weights.kept("last");
          for (const parameter of parameters)
            gpu.copy(last.get(parameter)!, 0, parameter.buffer, 0, 4 * parameter.size);
          await pass({ fresh: true, report: false });
          weights.restore();
          await weights.mix("here", 1, -1);
        },
        before: () => pull.pull(rho),
      },
    ],
    bytes: weights.bytes + pull.bytes,
    free() {
      weights.free();
      pull.free();
    },
  };
}

export const method = defineFederation({
  name: "admm",
  title: "Dual-free ADMM",
  about: "clients solve their problem near the server's weights, and send where two iterates lead",
  cite: "arXiv:2409.13451",
  laws: { still: true, agree: "goes past the clients by their last step", order: true },
  dtype: "f32",
  restless: true,
  options: {
    admm_rho: {
      type: "number > 0",
      default: 1,
      help: "pull towards the server's weights; about the mean curvature of the clients' losses",
      value: "RHO",
    },
  },

  local: ({ gpu, parameters, values: { admm_rho: rho } }) => steps(gpu, parameters, rho),

  answer({ global, local, kept }) {
    const last = kept.tensors.size > 0 ? kept.tensors : global;
    const goal = weightedSum([2, -1], [local, last]);
    return { sent: { tensors: updateOf(global, goal), numbers: {} }, kept: { tensors: local, numbers: {} } };
  },

  server: ({ global, arrivals }) => ({
    global: weightedSum(
      iterateWeights(arrivals.length),
      arrivals.map(({ sent }) => sent.tensors),
      global,
    ),
  }),
});
