/**
 * One objective of which replay, distillation of old answers and penalties on weights are cases:
 *
 *   L = CE(new) + alpha B_Phi(h(x_old), z_old) + beta CE(old) + lambda B_Psi(theta, theta*)
 *
 * with Bregman divergences B. Phi: half the squares of logits, which is the mean of (z - z')^2 of DER, or the negative
 * entropy of distributions, which is KL(p_old || p). Psi: half of theta^T F theta, F the Fisher information of earlier
 * tasks or 1. lambda = 0 is DER++, with beta = 0 DER; alpha = beta = 0 is EWC, with F = 1 L2-SP; all 0 training in a
 * row.
 *
 * Wang et al., ICLR 2024, https://arxiv.org/abs/2403.13249; --refresh adds their step of unlearning to it, or to any
 * other method.
 */
import { BUFFER, BUFFER_FROM } from "../../continual/buffer.ts";
import { continualMethod } from "../../continual/contract.ts";
import { darkLearner } from "../../continual/dark-replay.ts";
import { gatherFisher, MEASURED, penaltyLearner } from "../../continual/penalty.ts";
import { together } from "../../continual/together.ts";

export const method = continualMethod({
  name: "unified",
  title: "Unified objective of replay and penalties",
  about: "old answers, old labels and a penalty on the weights in one objective",
  cite: "arXiv:2403.13249",
  options: {
    ...BUFFER,
    ...BUFFER_FROM,
    alpha: { type: "number >= 0", default: 0.5, help: "weight of old answers" },
    phi: {
      type: "'squares' | 'entropy'",
      default: "squares",
      help: "how they are held: squared distance of logits, or KL of distributions",
    },
    beta: { type: "number >= 0", default: 0.5, help: "weight of the labels of old rows" },
    lambda: { type: "number >= 0", default: 100, help: "weight of lambda / 2 sum F (theta - theta*)^2" },
    psi: { type: "'fisher' | 'squares'", default: "fisher", help: "F: Fisher information of the rows' labels, or 1" },
    ...MEASURED,
  },
  async begin(stream) {
    const { lambda, psi } = stream.values;
    const gather = gatherFisher(stream, "empirical");
    return together([
      await darkLearner(stream),
      penaltyLearner(stream, { name: "unified", lambda, ...(psi === "fisher" ? { gather } : {}) }),
    ]);
  },
});
