/**
 * Datamodel matching: rows to forget and rows to keep are trained to give the outputs that `unlearn attribute`
 * foretells of a model that never learnt the former,
 *
 *   mean over half of each of |z(x) - h(x)|^2,   h(x) = z_theta0(x) - sum_{i in D_f} w_i(x)
 *
 * Georgiev et al., "Attribute-to-Delete: Machine Unlearning via Datamodel Matching", ICLR 2025,
 * https://arxiv.org/abs/2410.23232
 */
import { mul, sub, sumTo } from "../../../tensor/ops/elementwise.ts";
import type { Recorder } from "../../../tensor/recorder.ts";
import type { Tensor } from "../../../tensor/tensor.ts";
import { outputsWithout, readAttribution } from "../../attribution/file.ts";
import { defineObjective } from "../../contract.ts";

/** (n): sum over outputs of the squares. */
function squares(rec: Recorder, logits: Tensor, wanted: (() => Tensor) | undefined): Tensor {
  if (!wanted) throw new TypeError("no outputs are wanted of these rows");
  const left = sub(rec, logits, wanted());
  const n = left.shape[0]!;
  return rec.reshape(sumTo(rec, mul(rec, left, left), [n, 1]), [n]);
}

const FILE = "it needs a file of attributions: test/unlearn/dmm.test.ts shows it";

export const method = defineObjective({
  name: "dmm",
  title: "Datamodel matching",
  about: "learns what a model that never saw the rows would say, as `unlearn attribute` foretells it",
  cite: "arXiv:2410.23232",
  laws: { gradientIsSlope: FILE, forgets: FILE, bounded: FILE, batchesAdd: FILE },
  weights: { forget: 0.5, retain: 0.5 },
  retain: "own",
  options: {
    attributions: { type: "string", required: true, help: "what unlearn attribute wrote", value: "FILE" },
  },
  wanted: async ({ attributions }, forget) => outputsWithout(await readAttribution(attributions), forget, attributions),
  rows: (rec, { logits, wanted }) => squares(rec, logits, wanted),
  keeps: (rec, { logits, wanted }) => squares(rec, logits, wanted),
});
