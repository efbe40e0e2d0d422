/**
 * The Hessian's eigenvalue of largest magnitude on the probe's rows, by power iteration over differences of gradients,
 * with its residual as the stated error. Gradient descent on these rows is stable for rates below 2 / eigenvalue, and
 * long training often comes to that edge: Cohen et al., ICLR 2021, https://arxiv.org/abs/2103.00065
 */
import { CurvatureProbe } from "../../../run/probing/curvature.ts";
import { ProbeLoss } from "../../../run/probing/probe-loss.ts";
import { defineTrainingProbe, EVERY_PROBE_LAW } from "../../training-probe.ts";

export const method = defineTrainingProbe({
  name: "curvature",
  title: "Curvature",
  about: "largest eigenvalue of the loss's Hessian, and how exact it is",
  cite: "arXiv:2103.00065",
  options: {
    curvature_iterations: {
      type: "number.integer >= 1",
      default: 20,
      decides: "nothing",
      help: "power iterations, two gradients each",
      value: "N",
    },
  },
  laws: EVERY_PROBE_LAW,

  async begin({ model, batches, seed, values: { curvature_iterations: iterations } }) {
    const loss = await ProbeLoss.make(model, batches);
    const probe = new CurvatureProbe(model.gpu, loss, { iterations, seed });
    return {
      bytes: loss.bytes + probe.bytes,
      async look() {
        const { eigenvalue, residual } = await probe.measure();
        return { numbers: { eigenvalue, residual, ...(eigenvalue > 0 ? { stable_rate: 2 / eigenvalue } : {}) } };
      },
      free() {
        loss.free();
        probe.free();
      },
    };
  },
});
