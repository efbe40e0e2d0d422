/**
 * SLCA: the backbone learns a hundredth as fast as the head, each task by the logits of its own classes; after each
 * task but the first the head learns again, on samples of a Gaussian of every class's features (head-alignment.ts).
 *
 * Zhang et al., ICCV 2023, https://arxiv.org/abs/2303.05118. A class that comes in several tasks has a Gaussian for
 * each. Gaussians are of the features at the end of their own task, and not measured again. SLCA++ (Zhang et al. 2024,
 * https://arxiv.org/abs/2408.08295) has a backbone of LoRA, `--adapter lora`, and symmetric cross-entropy,
 *
 *   a CE + b RCE,  RCE = -A (1 - p_y):  the labels' distribution and the model's change places, log 0 is A = -4
 *
 * after Wang et al., ICCV 2019, https://arxiv.org/abs/1908.06112.
 */
import { UserError } from "../../../errors.ts";
import { matrixOf } from "../../../run/fisher/unit-products.ts";
import { UnitScales } from "../../../run/training/rules/unit-scales.ts";
import { crossEntropy } from "../../../tensor/ops/cross-entropy.ts";
import { addScalar, exp, neg, scale } from "../../../tensor/ops/elementwise.ts";
import { ClassGaussians } from "../../continual/class-gaussians.ts";
import { continualMethod, type Term } from "../../continual/contract.ts";
import { fitHead } from "../../continual/head-alignment.ts";
import { lastLayer } from "../../continual/last-layer.ts";
import { classesOf } from "../../continual/teacher.ts";

/** What the logarithm of 0 counts as. */
const LOG_ZERO = -4;

/** Reverse cross-entropy of labels, -A (1 - p_y), over the outputs that take part. */
const reversed = (weight: number): Term => ({
  name: "reverse",
  weight,
  record: () => ({
    along: [],
    rows: (rec, { logits, targets }) => {
      const likelihood = exp(rec, neg(rec, crossEntropy(rec, logits, targets)));
      return addScalar(rec, scale(rec, likelihood, LOG_ZERO), -LOG_ZERO);
    },
  }),
});

export const method = continualMethod({
  name: "slca",
  title: "Slow learner with classifier alignment",
  about: "a slow backbone; after each task the head learns on samples of a Gaussian of every class's features",
  cite: "arXiv:2303.05118",
  options: {
    backbone_rate: {
      type: "0 <= number <= 1",
      default: 0.01,
      value: "RHO",
      help: "share of the learning rate for all but the head; 1 is sequential training by a task's own logits",
    },
    ce_weight: { type: "number >= 0", default: 1, value: "A", help: "weight of the labels' cross-entropy" },
    reverse_weight: {
      type: "number >= 0",
      default: 0,
      value: "B",
      help: "weight of the reverse cross-entropy beside it, of SLCA++; that is 4 (1 - p) for a label of probability p",
    },
    align_epochs: {
      type: "number.integer >= 0",
      default: 5,
      value: "N",
      help: "passes over new samples that the head is aligned with after a task; 0 leaves it as it was trained",
    },
    align_samples: { type: "number.integer >= 1", default: 256, value: "N", help: "samples of every class in a pass" },
    align_lr: { type: "number > 0", default: 0.01, value: "LR", help: "learning rate of the alignment" },
    align_temperature: {
      type: "number >= 0",
      default: 0.1,
      value: "TAU",
      help: "logits of samples are divided by their mean length over the tasks times this; 0 leaves them alone",
    },
  },
  check({ ce_weight, reverse_weight }) {
    if (ce_weight + reverse_weight === 0)
      throw new UserError(
        "neither --ce-weight nor --reverse-weight leaves a loss to learn by",
        "make one larger than 0",
      );
  },
  async begin(stream) {
    const { gpu, model, tasks, values, seed, signal, dry } = stream;
    const head = await lastLayer(stream, "slca");
    const slow = model.trainable().filter((parameter) => parameter !== head.weight && parameter !== head.bias);
    const gaussians = new ClassGaussians(stream);
    return {
      stage(stage) {
        const classes = classesOf(tasks, stage.tasks);
        const losses = { classes, labels: values.ce_weight, terms: [reversed(values.reverse_weight)] };
        if (values.backbone_rate === 1 || slow.length === 0) return losses;
        const scales = slow.map((parameter) => ({
          ...{ parameter, along: "row" as const },
          factors: new Float32Array(matrixOf(parameter.shape).rows).fill(values.backbone_rate),
        }));
        return { ...losses, updates: [new UnitScales(gpu, scales, { name: "backbone", apply: "update", seed })] };
      },
      async learned(stage) {
        if (values.align_epochs === 0 || dry) return;
        await gaussians.measure(stage);
        if (stage.index === 0) return;
        const loss = await fitHead(gpu, head, gaussians.list, {
          ...{ epochs: values.align_epochs, samples: values.align_samples, lr: values.align_lr },
          ...{ temperature: values.align_temperature, seed, task: stage.index, signal },
        });
        stream.info(`the head is aligned with ${gaussians.list.length} classes, loss ${loss.toPrecision(4)}`);
      },
      state: () => gaussians.state(),
      load: (state) => gaussians.load(state),
      kept: () => gaussians.kept,
    };
  },
});
