/**
 * SLCA: the backbone learns a hundredth as fast as the head, each task by the logits of its own classes; after each
 * task but the first the head learns again, on samples of a Gaussian of every class's features (head-alignment.ts).
 *
 * Zhang et al., ICCV 2023, https://arxiv.org/abs/2303.05118. A class that comes in several tasks has a Gaussian for
 * each. Gaussians are of the features at the end of their own task, and not measured again. SLCA++'s symmetric
 * cross-entropy is not part of it; its backbone of LoRA is `--adapter lora`, where the head is trained beside it.
 */
import { UserError } from "../../../errors.ts";
import type { Model } from "../../../model/model.ts";
import { matrixOf } from "../../../run/fisher/unit-products.ts";
import { UnitScales } from "../../../run/training/rules/unit-scales.ts";
import { ClassGaussians } from "../../continual/class-gaussians.ts";
import { continualMethod, type Stream } from "../../continual/contract.ts";
import { headOf } from "../../continual/head.ts";
import { fitHead, type Head } from "../../continual/head-alignment.ts";
import { askRows } from "../../continual/outputs.ts";
import { classesOf } from "../../continual/teacher.ts";

/** The last layer. Throws UserError where none is trained. */
function lastLayer(model: Model): Head {
  const weight = headOf(model, "slca");
  const name = weight.name.replace(/weight$/, "bias");
  const bias = model.trainable().find((parameter) => parameter.name === name) ?? model.parameters.get(name);
  return { weight, bias };
}

/** Throws UserError where the head is more than its last layer: samples stand for what that layer reads. */
async function expectLinear(stream: Stream<unknown>, { weight, bias }: Head): Promise<void> {
  const { model, rows, gpu } = stream;
  const first = rows.of([0]).slice(0, 1);
  const [[x], [logits]] = [await askRows(stream, first, "features"), await askRows(stream, first, "logits")];
  const w = await gpu.readFloats(weight.buffer, weight.size);
  const b = bias && (await gpu.readFloats(bias.buffer, bias.size));
  const width = weight.shape[1]!;
  const off = logits!.map((logit, k) => {
    const own = w.subarray(k * width, (k + 1) * width).reduce((sum, value, i) => sum + value * (x![i] ?? 0), 0);
    return Math.abs(logit - own - (b?.[k] ?? 0));
  });
  const largest = logits!.reduce((most, logit) => Math.max(most, Math.abs(logit)), 1e-3);
  if (width === model.sizes.width && off.every((distance) => distance < 1e-2 * largest)) return;
  throw new UserError(
    `slca aligns a head of one layer, and that of this model does more to its features than ${weight.name}`,
    "take er or icarl, which leave the head to the training",
  );
}

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
  async begin(stream) {
    const { gpu, model, tasks, values, seed, signal, dry } = stream;
    const head = lastLayer(model);
    if (!dry) await expectLinear(stream, head);
    const slow = model.trainable().filter((parameter) => parameter !== head.weight && parameter !== head.bias);
    const gaussians = new ClassGaussians(stream);
    return {
      stage(stage) {
        const classes = classesOf(tasks, stage.tasks);
        if (values.backbone_rate === 1 || slow.length === 0) return { classes };
        const scales = slow.map((parameter) => ({
          ...{ parameter, along: "row" as const },
          factors: new Float32Array(matrixOf(parameter.shape).rows).fill(values.backbone_rate),
        }));
        return { classes, updates: [new UnitScales(gpu, scales, { name: "backbone", apply: "update", seed })] };
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
