/**
 * Experience replay: rows of earlier tasks, kept in a buffer, come back among the new ones. With a share rho of old
 * rows in every batch, n new rows of a pass are joined by round(rho / (1 - rho) n) old ones.
 *
 * Chaudhry et al. 2019, https://arxiv.org/abs/1902.10486; the share as in Yi et al. 2023,
 * https://arxiv.org/abs/2303.06580
 */
import { BUFFER, BUFFER_FROM, MemoryBuffer } from "../../continual/buffer.ts";
import { continualMethod } from "../../continual/contract.ts";
import { replayMix } from "../../continual/replay.ts";

export const method = continualMethod({
  name: "er",
  title: "Experience replay",
  about: "old rows from a buffer among the new ones",
  cite: "arXiv:1902.10486",
  options: {
    ...BUFFER,
    ...BUFFER_FROM,
    replay_ratio: {
      type: "0 <= number < 1",
      default: 0.2,
      help: "share of old rows in a batch; n new rows are joined by round(rho / (1 - rho) n) old ones",
      value: "RHO",
    },
  },
  async begin(stream) {
    const buffer = await MemoryBuffer.begun(stream);
    return {
      stage: (stage) => ({ mix: replayMix(stream, buffer, stage, stream.values.replay_ratio) }),
      learned: (stage) => buffer.add(stage),
      state: () => buffer.state(),
      load: (state) => buffer.load(state),
      memoryRows: () => buffer.rows,
      memorySeen: () => buffer.seen,
    };
  },
});
