/**
 * Tulu 3: training rows that hold test rows are dropped; then fine-tuning, preferences with likelihoods per token, and
 * reinforcement learning with a reward of `alpha` for answers that are verified. Lambert et al. 2024,
 * https://arxiv.org/abs/2411.15124, with its settings for 8B.
 *
 * An answer without an end is one that fills --max-new-tokens: the penalty is that of `overlong` with a cache of 1. The
 * value head reads what the policy's own reads.
 */
import { definePreset } from "../../presets/contract.ts";
import { batchOf, flags, measures, trains } from "../../presets/stages.ts";

export const method = definePreset({
  name: "tulu",
  title: "Tulu 3",
  about: "decontamination, fine-tuning, preferences, then rewards of verified answers",
  cite: "arXiv:2411.15124",
  options: {
    sft: { type: "string", required: true, help: "rows of prompts and answers", value: "FILE" },
    pairs: { type: "string", required: true, help: "rows of prompt, chosen and rejected", value: "FILE" },
    prompts: { type: "string", required: true, help: "rows of prompts whose answers can be verified", value: "FILE" },
    allowed: { type: "0 <= number <= 1", default: 0.02, help: "share of the test that may stand in training rows" },
    batch: { type: "number.integer >= 1", default: 128, help: "rows, pairs or answers of an update", value: "N" },
    max_length: { type: "number.integer >= 1", default: 4096, help: "tokens of a row", value: "N" },
    sft_lr: { type: "number > 0", default: 5e-6, help: "learning rate of fine-tuning" },
    sft_epochs: { type: "number > 0", default: 2, help: "passes of fine-tuning" },
    dpo_lr: { type: "number > 0", default: 5e-7, help: "learning rate of preferences" },
    beta: { type: "number > 0", default: 5, help: "how closely preferences hold the model, per token" },
    rl_lr: { type: "number > 0", default: 3e-7, help: "learning rate of rewards" },
    rl_steps: { type: "number.integer >= 1", default: 1000, help: "updates by rewards", value: "N" },
    kl: { type: "number >= 0", default: 0.05, help: "weight of the divergence in rewards" },
    alpha: { type: "number > 0", default: 10, help: "reward of a right answer, and penalty of one without an end" },
  },
  stages(given) {
    const { model, to, shared, values } = given;
    const { allowed, max_length, alpha, kl } = values;
    const clean = (["sft", "pairs", "prompts"] as const).map((what) => ({
      title: `Rows of ${what} without what the test set holds`,
      words: ["ingot", "data", "decontaminate", values[what], ...flags({ against: shared.test, allowed })],
      makes: `${to}/${what}.jsonl`,
    }));
    const update = { ...batchOf(values.batch, given), schedule: "linear" };
    const [sft, dpo, rlvr] = ["sft", "dpo", "rlvr"].map((name) => `${to}/${name}`) as [string, string, string];
    const { sft_lr, sft_epochs, dpo_lr, beta, rl_lr, rl_steps } = values;
    return [
      ...clean,
      trains(
        "Fine-tuning: a mean over the tokens of an update",
        ...(["train", model] as const),
        { data: `${to}/sft.jsonl`, ...update, lr: sft_lr, warmup: 0.03, epochs: sft_epochs, max_length },
        sft,
      ),
      trains(
        "Preferences by likelihoods per token",
        ...(["align", sft] as const),
        {
          ...{ method: "dpo", pair_loss: "sigmoid-norm", beta, data: `${to}/pairs.jsonl` },
          ...{ ...update, lr: dpo_lr, warmup: 0.1, epochs: 1, max_length },
        },
        dpo,
      ),
      trains(
        "Rewards of verified answers",
        ...(["align", dpo] as const),
        {
          ...{ method: "ppo", reward: `${alpha}*${shared.reward} + ${alpha}*overlong:cache=1` },
          ...{ data: `${to}/prompts.jsonl`, ...update, lr: rl_lr, steps: rl_steps, kl, gamma: 1, gae_lambda: 0.95 },
          ...{ clip_low: 0.2, clip_high: 0.2, temperature: 1, max_new_tokens: shared.max_new_tokens },
        },
        rlvr,
      ),
      measures([model, sft, dpo, rlvr], given),
    ];
  },
});
