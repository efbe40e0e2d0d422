/**
 * A reward model: what its head says of prompt and answer. Ouyang et al. 2022, https://arxiv.org/abs/2203.02155
 *
 * It is any classifier of one label that transformers reads, or a model of steps, whose least sure step counts. It is
 * checked before any work.
 */
import type { Said } from "../../../data/rows.ts";
import { RewardModel } from "../../../run/rewarding/reward-model.ts";
import { type Answered, defineVerifier } from "../../verifying/contract.ts";

/** What the answer answers: the turns before it, of a conversation. */
function promptOf({ row, prompt }: Answered): Said {
  if (row.form !== "messages") return prompt;
  const { messages } = row;
  const isAnswered = messages.at(-1)?.role === "assistant";
  return messages.slice(0, row.countsFrom ?? (isAnswered ? -1 : messages.length));
}

export const method = defineVerifier({
  name: "model",
  title: "Reward model",
  about: "what a reward model says of prompt and answer",
  cite: "arXiv:2203.02155",
  laws: {
    alone: "sums of batches of another shape may differ in the last digit",
    truth: "a model likes what it likes",
    range: "a head has no bound",
  },
  range: [Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY],
  options: {},
  argument: { value: "MODEL", help: "a reward model, as align --method reward makes it", required: true },
  async make({ text, gpu }) {
    const ref = text.trim();
    await RewardModel.check(ref);
    let opened: Promise<RewardModel> | undefined;
    let judge: RewardModel | undefined;
    const ready = async () => {
      opened ??= gpu().then((device) => RewardModel.open(device, ref));
      judge = await opened;
      return judge;
    };
    return {
      async ready() {
        await ready();
      },
      async score(answers, signal) {
        const asked = answers.map((answered) => {
          const { answer, place, row } = answered;
          return { prompt: promptOf(answered), answer, place, extra: row.extra };
        });
        return [...(await (await ready()).score(asked, signal))];
      },
      free() {
        judge?.free();
        judge = undefined;
        opened = undefined;
      },
    };
  },
});
