/**
 * Synaptic intelligence: weights by which the loss of earlier tasks fell are held to where they were.
 *
 *   w_i = - sum over the steps of a task of g_i (theta_after,i - theta_before,i)
 *   Omega_i <- Omega_i + max(w_i, 0) / (D_i^2 + xi),  D_i the way of the whole task
 *   lambda / 2 sum_i Omega_i (theta_i - theta*_i)^2
 *
 * Zenke et al., ICML 2017, https://arxiv.org/abs/1703.04200; lambda / 2 is the paper's c. g is the gradient without the
 * penalty. A negative w would pull weights away from where they were, and counts as 0.
 */
import type { Gpu } from "../../../gpu/gpu.ts";
import { readPieces } from "../../../run/fisher/squared-gradients.ts";
import { Anchor } from "../../../run/training/rules/anchor.ts";
import { PathIntegral } from "../../../run/training/rules/path-integral.ts";
import { QuadraticPenalty } from "../../../run/training/rules/quadratic-penalty.ts";
import { Parameter } from "../../../tensor/parameter.ts";
import { continualMethod } from "../../continual/contract.ts";

/** Sums of each weight's path, from 0. */
function pathsOf(gpu: Gpu, parameters: readonly Parameter[]): Map<Parameter, Parameter> {
  const paths = parameters.map((parameter) => {
    const path = new Parameter(gpu, `path of ${parameter.name}`, parameter.shape, "f32", false);
    gpu.clear(path.buffer, Math.max(16, 4 * path.size));
    return [parameter, path] as const;
  });
  return new Map(paths);
}

/** Adds the importances of a task that is over to those of the anchor, and begins new paths. */
async function consolidate(
  gpu: Gpu,
  anchor: Anchor,
  paths: ReadonlyMap<Parameter, Parameter>,
  xi: number,
): Promise<void> {
  for (const { parameter, anchor: from, importance } of anchor.weights) {
    const { size } = parameter;
    const path = paths.get(parameter)!;
    const all = [path, parameter, from, importance!].map(({ buffer }) => readPieces(gpu, buffer, size));
    const next = async (piece: AsyncGenerator<Float32Array>): Promise<Float32Array> => (await piece.next()).value;
    for (let at = 0; at < size; ) {
      const [w, to, start, omega] = await Promise.all(all.map(next));
      const found = omega!.map((old, i) => old + Math.max(w![i]!, 0) / ((to![i]! - start![i]!) ** 2 + xi));
      anchor.set(parameter, at, found);
      at += found.length;
    }
    gpu.clear(path.buffer, Math.max(16, 4 * size));
  }
}

export const method = continualMethod({
  name: "si",
  title: "Synaptic intelligence",
  about: "a penalty on the way from the weights before, each weighed by how the loss fell with it",
  cite: "arXiv:1703.04200",
  options: {
    lambda: {
      type: "number >= 0",
      default: 1,
      help: "weight of lambda / 2 sum Omega (theta - theta*)^2; twice the paper's c",
    },
    xi: { type: "number > 0", default: 0.1, help: "damping: added to the squared way of a task" },
  },
  begin({ gpu, model, values: { lambda, xi }, dry }) {
    if (lambda === 0) return {};
    const parameters = model.trainable();
    const anchor = new Anchor(gpu, parameters, { weighed: true });
    const paths = pathsOf(gpu, parameters);
    return {
      stage: ({ old, isLast }) => ({
        updates: [
          ...(isLast ? [] : [new PathIntegral(gpu, paths)]),
          ...(old.length > 0 ? [new QuadraticPenalty(gpu, anchor, { weight: lambda, name: "si" })] : []),
        ],
      }),
      async learned({ isLast }) {
        if (isLast || dry) return;
        await consolidate(gpu, anchor, paths, xi);
        anchor.take();
      },
      kept: () => [...anchor.kept, ...paths.values()],
      memory: () => ({ importances: anchor.bytes + [...paths.values()].reduce((sum, { bytes }) => sum + bytes, 0) }),
      free() {
        anchor.free();
        for (const path of paths.values()) path.free();
      },
    };
  },
});
