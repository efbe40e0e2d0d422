/**
 * Norms of weights, of gradients on the probe's rows, and of the last step's change, by block. `grad_rms` is the median
 * over blocks of the root mean square of a gradient's values: where it comes near the eps of Adam, updates become too
 * small. Wortsman et al. 2023, https://arxiv.org/abs/2309.14322, section 3.4
 */
import { layerOf } from "../../../model/names.ts";
import { ProbeLoss } from "../../../run/probing/probe-loss.ts";
import { NormsOfTensors, type TensorNorms } from "../../../run/probing/tensor-norms.ts";
import { defineTrainingProbe, EVERY_PROBE_LAW } from "../../training-probe.ts";

/** How near to eps is too near. */
const NEAR = 10;

/** A block is what layers of one number are in; what stands outside of blocks is one for itself. */
const blockOf = (name: string): string => {
  const layer = layerOf(name);
  return layer ? `${layer.prefix}.${layer.index}` : name.replace(/\.(weight|bias)$/, "");
};

const together = (values: readonly number[]): number => Math.sqrt(values.reduce((sum, x) => sum + x * x, 0));

const medianOf = (values: readonly number[]): number => {
  const sorted = values.toSorted((a, b) => a - b);
  const half = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[half]! : (sorted[half - 1]! + sorted[half]!) / 2;
};

function normsOf(tensors: readonly TensorNorms[]) {
  const root = Math.sqrt(tensors.reduce((sum, { size }) => sum + size, 0));
  const weight = together(tensors.map((tensor) => tensor.weight));
  const gradient = together(tensors.map((tensor) => tensor.gradient));
  const numbers: Record<string, number> = { weight, gradient };
  const moved = tensors.flatMap((tensor) => tensor.update ?? []);
  if (moved.length > 0) Object.assign(numbers, { update: together(moved), update_rms: together(moved) / root });
  return { ...numbers, grad_rms: gradient / root };
}

export const method = defineTrainingProbe({
  name: "norms",
  title: "Norms",
  about: "norms and root mean squares of weights, gradients and updates, by block",
  cite: "arXiv:2309.14322",
  options: {},
  laws: EVERY_PROBE_LAW,

  async begin({ model, batches, eps }) {
    const loss = await ProbeLoss.make(model, batches);
    const norms = new NormsOfTensors(model.gpu, loss.parameters);
    return {
      bytes: loss.bytes + norms.bytes,
      ahead: () => norms.mark(),

      async look() {
        const found = loss.gradients();
        const tensors = await norms.read();
        const blocks = Map.groupBy(tensors, ({ name }) => blockOf(name));
        const parts = [...blocks].map(([part, own]) => ({ part, ...normsOf(own) }));
        const rms = medianOf(parts.map((block) => block.grad_rms));
        const least = Math.min(...parts.map((block) => block.grad_rms));
        const warnings =
          eps !== undefined && least < NEAR * eps
            ? [
                `gradients of some block are no larger than about the optimizer's eps ${eps}, so updates shrink with them; a smaller --eps would keep them up`,
              ]
            : [];
        return { numbers: { loss: await found, ...normsOf(tensors), grad_rms: rms }, parts, warnings };
      },

      free() {
        loss.free();
        norms.free();
      },
    };
  },
});
