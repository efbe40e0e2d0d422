/**
 * Averaged gradient episodic memory: a step that would go uphill on rows of earlier tasks goes along their contour
 * instead.
 *
 *   where <g, m> < 0:  g <- g - <g, m> / <m, m> m,   m the gradient of the loss on rows drawn from the buffer
 *
 * Chaudhry et al., ICLR 2019, https://arxiv.org/abs/1812.00420
 */
import { AveragedProjection } from "../../../run/training/rules/memory-projection.ts";
import { BUFFER, BUFFER_FROM, MemoryBuffer } from "../../continual/buffer.ts";
import { continualMethod } from "../../continual/contract.ts";
import { replayPart } from "../../continual/replay.ts";

export const method = continualMethod({
  name: "a-gem",
  title: "Averaged gradient episodic memory",
  about: "gradients that go uphill on old rows are projected onto their contour",
  cite: "arXiv:1812.00420",
  options: {
    ...BUFFER,
    ...BUFFER_FROM,
    memory_batch: {
      type: "number.integer >= 1",
      help: "old rows of a step; as many as a micro-batch has when left out",
      value: "N",
    },
  },
  async begin(stream) {
    const { gpu, model, values, batchSize } = stream;
    const buffer = await MemoryBuffer.begun(stream);
    return {
      stage(stage) {
        const part = replayPart(buffer, stage, { name: "memory", size: values.memory_batch ?? batchSize });
        if (!part) return {};
        return { parts: [part], updates: [new AveragedProjection(gpu, model.trainable(), [part.name])] };
      },
      learned: (stage) => buffer.add(stage),
      state: () => buffer.state(),
      load: (state) => buffer.load(state),
      memoryRows: () => buffer.rows,
      memorySeen: () => buffer.seen,
    };
  },
});
