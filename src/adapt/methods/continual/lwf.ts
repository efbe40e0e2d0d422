/**
 * Learning without forgetting: the model as it was before a task is a teacher on the task's own rows,
 *
 *   L = (1 - mu) CE + lambda KL(p_old || p_new),   both distributions at temperature T
 *
 * with mu = 0. Where classes come with tasks (--scenario class) the teacher speaks of the old classes alone, and
 * lambda = mu = old classes / all classes, as Zhao et al. have it; --align-head then scales the rows of the new classes
 * in the head to the mean length of the old ones after each task. No factor T^2. From the second task on.
 *
 * Li and Hoiem, ECCV 2016, https://arxiv.org/abs/1606.09282; Zhao et al., CVPR 2020, https://arxiv.org/abs/1911.07053
 */
import { BUFFER, MemoryBuffer } from "../../continual/buffer.ts";
import { continualMethod } from "../../continual/contract.ts";
import { alignHead, headOf } from "../../continual/head.ts";
import { OldWeights } from "../../continual/old-weights.ts";
import { replayMix } from "../../continual/replay.ts";
import { classesOf, oldAnswers } from "../../continual/teacher.ts";

export const method = continualMethod({
  name: "lwf",
  title: "Learning without forgetting",
  about: "the model as it was teaches the new one on the rows of the new task",
  cite: "arXiv:1606.09282",
  options: {
    ...BUFFER,
    buffer: { ...BUFFER.buffer, default: 0 },
    replay_ratio: { type: "0 <= number < 1", default: 0.2, help: "share of old rows, where --buffer keeps some" },
    lwf_weight: {
      type: "number >= 0",
      help: "weight of the teacher; 1 when left out, with --scenario class old classes / all classes",
      value: "W",
    },
    temperature: { type: "number > 0", default: 2, help: "divides both logits", value: "T" },
    align_head: {
      type: "boolean",
      default: false,
      help: "scale the head's rows of new classes to the mean length of the old ones after each task",
    },
  },
  begin(stream) {
    const { model, tasks, scenario, values } = stream;
    const head = values.align_head ? headOf(model, "--align-head") : undefined;
    const old = new OldWeights(model);
    const buffer = new MemoryBuffer(stream);
    return {
      stage(stage) {
        if (stage.old.length === 0) return {};
        const known = classesOf(tasks, stage.old);
        const all = new Set([...known, ...classesOf(tasks, stage.tasks)]).size;
        const share = scenario === "class" ? known.length / all : undefined;
        const weight = values.lwf_weight ?? share ?? 1;
        const labels = values.lwf_weight === undefined && share !== undefined ? 1 - share : 1;
        const visible = scenario === "class" ? known : undefined;
        const term = oldAnswers(old, { name: "teacher", weight, temperature: values.temperature, visible });
        return { labels, terms: [term], mix: replayMix(stream, buffer, stage, values.replay_ratio) };
      },
      async learned(stage) {
        const known = classesOf(tasks, stage.old);
        const fresh = classesOf(tasks, stage.tasks).filter((label) => !known.includes(label));
        if (head && known.length > 0 && fresh.length > 0 && !stream.dry) {
          const factor = await alignHead(model, head, known, fresh);
          stream.info(`head aligned: rows of new classes times ${factor.toFixed(4)}`);
        }
        await buffer.add(stage);
        old.take();
      },
      state: () => buffer.state(),
      load: (state) => buffer.load(state),
      kept: () => old.kept,
      memory: () => ({ old_weights: old.bytes }),
      memoryRows: () => buffer.rows,
      memorySeen: () => buffer.seen,
      free: () => old.free(),
    };
  },
});
