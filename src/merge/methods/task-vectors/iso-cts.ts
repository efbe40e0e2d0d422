/**
 * Iso-CTS: the leading directions of the summed task vectors, beside them those that single tasks add to these, all at
 * one singular value.
 *
 * Marczak et al., ICML 2025, https://arxiv.org/abs/2502.04959, algorithm 2. Of the r = min(rows, columns) directions
 * the K tasks get an equal number each, round((r - floor(common_share r)) / K), halves to even as in the authors' code;
 * the sum keeps the rest, its leading U and V. A task's own are the leading triplets of tau_k - U U^T tau_k. All left
 * vectors together and all right ones become the orthonormal vectors nearest to them; every singular value is the mean
 * of the r ones. Directions that do not exist stay out and count as 0 in the mean. The paper tunes lambda on held-out
 * data. Cost and what counts as a matrix: updates/spectral.ts.
 */
import {
  type HostMatrix,
  hostProduct,
  leadingSvd,
  rebuilt,
  type Triplets,
  transposed,
} from "../../../tensor/linear-algebra/leading-svd.ts";
import { lambdaOption, orthogonalised, spectralMethod, summed } from "../../updates/spectral.ts";

/** Directions of each task, and of the sum. */
export function isoRanks(side: number, count: number, commonShare: number): { own: number; common: number } {
  const each = (side - Math.floor(side * commonShare)) / count;
  const nearest = each % 1 === 0.5 ? 2 * Math.round(each / 2) : Math.round(each);
  const own = Math.min(nearest, Math.floor(side / count));
  return { own, common: side - own * count };
}

/** What is left of a task matrix outside the span of the common left directions. */
function outside(task: HostMatrix, { left }: Triplets): HostMatrix {
  const inside = hostProduct(transposed(left), hostProduct(left, task));
  return { ...task, values: task.values.map((x, i) => x - inside.values[i]!) };
}

export const method = spectralMethod({
  name: "iso_cts",
  title: "Iso-CTS",
  about: "common and own directions of the tasks at one length; slow where sides exceed some thousand",
  cite: "arXiv:2502.04959",
  laws: {
    equalInputs: true,
    equalModels: "gives all directions one length",
    order: true,
    baseAtZero: true,
    homogeneous: true,
  },
  options: {
    ...lambdaOption,
    common_share: { type: "0 <= number <= 1", default: 0.8, help: "share of the directions that the tasks' sum gets" },
  },

  async update(tasks, { common_share }) {
    const side = Math.min(tasks.rows, tasks.columns);
    const { own, common } = isoRanks(side, tasks.count, common_share);
    const shared = leadingSvd(await summed(tasks), common);
    const parts: Triplets[] = [];
    for (let k = 0; k < tasks.count; k++) {
      const task = await tasks.read(k);
      const length = Math.sqrt(task.values.reduce((sum, x) => sum + x * x, 0));
      if (own > 0) parts.push(leadingSvd(outside(task, shared), own, length));
    }
    const all = orthogonalised([...parts, shared], tasks);
    const mean = all.s.reduce((sum, value) => sum + value, 0) / side;
    return rebuilt({ ...all, s: all.s.map(() => mean) });
  },
});
