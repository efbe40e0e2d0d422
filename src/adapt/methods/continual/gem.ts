/**
 * Gradient episodic memory: the nearest step to that of the new rows which goes uphill on no earlier task.
 *
 *   where any <g, G_k> < 0:  g <- g + G' v,  v = argmin 1/2 v' G G' v + (G g)' v  over v >= margin
 *
 * G_k is the gradient of the loss on rows of task k in the buffer. Lopez-Paz and Ranzato, NeurIPS 2017,
 * https://arxiv.org/abs/1706.08840; the margin, 0.5 as in the authors' code, favours the earlier tasks.
 */
import { TaskProjection } from "../../../run/training/rules/memory-projection.ts";
import { BUFFER, BUFFER_FROM, MemoryBuffer } from "../../continual/buffer.ts";
import { continualMethod } from "../../continual/contract.ts";
import { replayPart } from "../../continual/replay.ts";

export const method = continualMethod({
  name: "gem",
  title: "Gradient episodic memory",
  about: "the nearest step that goes uphill on no earlier task, by a quadratic program over their gradients",
  cite: "arXiv:1706.08840",
  options: {
    ...BUFFER,
    ...BUFFER_FROM,
    memory_batch: {
      type: "number.integer >= 1",
      help: "old rows of each task in a step; as many as a micro-batch has when left out",
      value: "N",
    },
    margin: { type: "number >= 0", default: 0.5, help: "least weight of each earlier task once one would lose" },
  },
  async begin(stream) {
    const { gpu, model, values, tasks, batchSize } = stream;
    const buffer = await MemoryBuffer.begun(stream);
    return {
      stage(stage) {
        const size = values.memory_batch ?? batchSize;
        const parts = buffer.tasks.flatMap((task) => {
          const part = replayPart(buffer, stage, {
            name: `memory of ${tasks[task]?.name ?? `the task ${task} of the buffer`}`,
            size,
            from: buffer.of(task),
          });
          return part ? [part] : [];
        });
        if (parts.length === 0) return {};
        const names = parts.map(({ name }) => name);
        return { parts, updates: [new TaskProjection(gpu, model.trainable(), names, values.margin)] };
      },
      learned: (stage) => buffer.add(stage),
      state: () => buffer.state(),
      load: (state) => buffer.load(state),
      memoryRows: () => buffer.rows,
      memorySeen: () => buffer.seen,
    };
  },
});
