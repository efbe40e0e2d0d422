/**
 * Self-synthesised replay: after each task the model writes rows itself, and they come back among the new ones in place
 * of the old rows, which are not there any more. A row of the task that is over gives only what the row begins with. A
 * pretrained model may write before the first task too, and so learns again what it knew. From the second task on.
 *
 * Huang et al., ACL 2024, https://arxiv.org/abs/2403.01244, who let the model write prompts as well; here of rows with
 * a prompt the prompt is kept, and of others the first tokens.
 */
import { continualMethod } from "../../continual/contract.ts";
import { replayMix } from "../../continual/replay.ts";
import { SaidRows } from "../../continual/said-rows.ts";

export const method = continualMethod({
  name: "synth",
  title: "Self-synthesised replay",
  about: "rows that the old model writes itself come back among the new ones",
  cite: "arXiv:2403.01244",
  options: {
    synth_rows: {
      type: "number.integer >= 0",
      default: 200,
      value: "N",
      help: "rows that are written after each task",
    },
    synth_prefix: {
      type: "number.integer >= 1",
      default: 1,
      value: "N",
      help: "tokens that a row of the task gives to begin with; of a row with a prompt it is the prompt",
    },
    synth_tokens: {
      type: "number.integer >= 1",
      value: "N",
      help: "most tokens that are written; when left out, those of the task's longest row",
    },
    synth_base: {
      type: "boolean",
      default: false,
      help: "the model writes before the first task too, from what that task's rows begin with",
    },
    temperature: { type: "number >= 0", default: 1, value: "T", help: "of writing; 0 takes the most likely token" },
    top_p: { type: "0 < number <= 1", default: 1, value: "P", help: "the fewest tokens whose probabilities reach P" },
    replay_ratio: {
      type: "0 <= number < 1",
      default: 0.2,
      help: "share of written rows in a batch; n new rows are joined by round(rho / (1 - rho) n)",
      value: "RHO",
    },
  },
  async begin(stream) {
    const { values, resumed } = stream;
    const said = new SaidRows(stream);
    const isIdle = values.synth_rows === 0 || values.replay_ratio === 0;
    if (values.synth_base && !isIdle && !resumed) await said.write(0, "before");
    return {
      stage: (stage) => ({ mix: replayMix(stream, said, stage, values.replay_ratio) }),
      async learned(stage) {
        if (!isIdle && !stage.isLast) for (const task of stage.tasks) await said.write(task, "after");
      },
      state: () => said.state(),
      load: (state) => said.load(state),
      kept: () => said.kept,
    };
  },
});
