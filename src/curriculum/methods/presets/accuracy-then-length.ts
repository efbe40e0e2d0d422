/**
 * Accuracy, then length: many passes of fine-tuning on hard rows, then a short run by rewards whose main work is to
 * shorten answers without losing right ones. Yoshihara et al. 2025, https://arxiv.org/abs/2507.08267
 *
 * The reward is a sum: the form of the answer, half a cosine of its length whose ends change places where it is wrong,
 * how short it is beside others of its group, and repeated n-grams. Answers are sampled without top-p and min-p, which
 * rollouts do not have; the paper has 0.9 and 0.05.
 */
import { definePreset } from "../../presets/contract.ts";
import { batchOf, measures, trains } from "../../presets/stages.ts";

export const method = definePreset({
  name: "accuracy-then-length",
  title: "Accuracy, then length",
  about: "ten passes of fine-tuning, then rewards of right answers that are short",
  cite: "arXiv:2507.08267",
  options: {
    sft: { type: "string", required: true, help: "hard rows of prompts and answers", value: "FILE" },
    prompts: {
      type: "string",
      help: "rows whose answers can be verified; those of --sft when left out",
      value: "FILE",
    },
    form: {
      type: "string",
      default: "think,answer",
      help: "tags of an answer, or a regular expression for the whole of it",
      value: "TAGS|REGEX",
    },
    most: { type: "number.integer >= 1", default: 30_000, help: "characters of the longest answer", value: "N" },
    max_length: { type: "number.integer >= 1", default: 24_000, help: "tokens of a packed row", value: "N" },
    batch: { type: "number.integer >= 1", default: 8, help: "packed rows of an update", value: "N" },
    answers: { type: "number.integer >= 1", default: 64, help: "answers of an update by rewards", value: "N" },
    group: { type: "number.integer >= 2", default: 8, help: "answers to each prompt", value: "G" },
    sft_lr: { type: "number > 0", default: 1e-5, help: "learning rate of fine-tuning" },
    sft_epochs: { type: "number > 0", default: 10, help: "passes of fine-tuning" },
    rl_lr: { type: "number > 0", default: 4e-6, help: "learning rate of rewards" },
    rl_steps: { type: "number.integer >= 1", default: 50, help: "updates by rewards", value: "N" },
    kl: { type: "number >= 0", default: 0.04, help: "weight of the divergence" },
  },
  stages(given) {
    const { model, to, shared, values } = given;
    const { form, most, max_length, sft_lr, sft_epochs, group, rl_lr, rl_steps, kl } = values;
    const { reward: by, max_new_tokens } = shared;
    const [accurate, short] = ["accurate", "short"].map((name) => `${to}/${name}`) as [string, string];
    const lengths = `cosine-length(max=${most},unit=characters,by=${by}) + group-length(unit=characters,by=${by})`;
    const packed = { ...batchOf(values.batch, given), pack: true, max_length } as const;
    return [
      trains(
        "Accuracy: long fine-tuning",
        ...(["train", model] as const),
        { data: values.sft, ...packed, schedule: "cosine", lr: sft_lr, epochs: sft_epochs },
        accurate,
      ),
      trains(
        "Length: rewards of short right answers",
        ...(["align", accurate] as const),
        {
          ...{ method: "grpo", group, reward: `format(${form}) + ${lengths} + repetition:3`, kl, temperature: 1 },
          ...{ data: values.prompts ?? values.sft, ...batchOf(values.answers, given), lr: rl_lr, steps: rl_steps },
          max_new_tokens,
        },
        short,
      ),
      measures([model, accurate, short], given),
    ];
  },
});
