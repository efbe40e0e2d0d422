/**
 * iCaRL: rows kept by herding come back among the new ones, the model as it was is a teacher of the old classes, and a
 * row gets the class whose kept rows have the nearest mean of features, all of length 1. Its losses are softmax
 * cross-entropy and KL at temperature 2, as most later code has them, in place of the paper's sigmoids.
 *
 * Rebuffi et al., CVPR 2017, https://arxiv.org/abs/1611.07725
 */
import { UserError } from "../../../errors.ts";
import { isObject } from "../../../json.ts";
import { BUFFER, MemoryBuffer } from "../../continual/buffer.ts";
import { ClassMeans } from "../../continual/class-means.ts";
import { continualMethod } from "../../continual/contract.ts";
import { OldWeights } from "../../continual/old-weights.ts";
import { replayMix } from "../../continual/replay.ts";
import { classesOf, oldAnswers } from "../../continual/teacher.ts";

export const method = continualMethod({
  name: "icarl",
  title: "iCaRL",
  about: "herded rows, a teacher of the old classes, and the class of the nearest mean",
  cite: "arXiv:1611.07725",
  options: {
    buffer: BUFFER.buffer,
    replay_ratio: { type: "0 <= number < 1", default: 0.2, help: "share of old rows in a batch" },
    teacher_weight: { type: "number >= 0", default: 1, help: "weight of the teacher of the old classes" },
  },
  begin(stream) {
    const { model, tasks, values } = stream;
    if (model.task === "causal-lm")
      throw new UserError(
        "icarl gives rows the class of the nearest mean, and a language model has no classes",
        "take er, which needs none",
      );
    const buffer = new MemoryBuffer({ ...stream, values: { ...values, buffer_policy: "herding" } });
    const old = new OldWeights(model);
    const means = new ClassMeans();
    return {
      stage(stage) {
        if (stage.old.length === 0) return {};
        const visible = classesOf(tasks, stage.old);
        const term = oldAnswers(old, { name: "teacher", weight: values.teacher_weight, temperature: 2, visible });
        return { terms: [term], mix: replayMix(stream, buffer, stage, values.replay_ratio) };
      },
      async learned(stage) {
        await buffer.add(stage);
        await means.measure(stream, buffer.rows);
        old.take();
      },
      state: () => ({ buffer: buffer.state(), means: means.state() }),
      load(state) {
        const { buffer: rows = null, means: own = null } = isObject(state) ? state : {};
        buffer.load(rows);
        means.load(own);
      },
      kept: () => old.kept,
      memory: () => ({ old_weights: old.bytes }),
      memoryRows: () => buffer.rows,
      memorySeen: () => buffer.seen,
      get classify() {
        return means.isEmpty ? undefined : means.classify.bind(means);
      },
      free: () => old.free(),
    };
  },
});
