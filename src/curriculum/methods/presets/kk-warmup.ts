/**
 * Warm up before you train: fine-tuning on long reasoning about knights and knaves, then a little reinforcement
 * learning on few examples of the target. Shrestha et al. 2025, https://arxiv.org/abs/2505.13718
 *
 * The traces are those of data knights: they suppose a role, meet contradictions and turn back. With --controls the
 * same rewards train the model without the warm-up, and the same few examples are learnt by heart.
 */
import { UserError } from "../../../errors.ts";
import { definePreset, type Stage } from "../../presets/contract.ts";
import { batchOf, flags, measures, trains } from "../../presets/stages.ts";

export const method = definePreset({
  name: "kk-warmup",
  title: "Warm-up on knights and knaves",
  about: "reasoning about knights and knaves first, then rewards on at most a hundred prompts",
  cite: "arXiv:2505.13718",
  options: {
    target: { type: "string", required: true, help: "rows of the task (JSONL), with their answers", value: "FILE" },
    examples: { type: "number.integer >= 1", default: 100, help: "of the target, from its beginning", value: "N" },
    people: { type: "number[]", default: [3, 8], help: "fewest and most people of a puzzle", value: "A,B" },
    puzzles: { type: "number.integer >= 1", default: 3000, help: "puzzles in all", value: "N" },
    max_length: { type: "number.integer >= 1", default: 4096, help: "tokens of a puzzle with its trace", value: "N" },
    batch: { type: "number.integer >= 1", default: 64, help: "rows or answers of an update", value: "N" },
    group: { type: "number.integer >= 2", default: 8, help: "answers to each prompt", value: "G" },
    sft_lr: { type: "number > 0", default: 1e-5, help: "learning rate of the warm-up" },
    sft_epochs: { type: "number > 0", default: 2, help: "passes of the warm-up" },
    rl_lr: { type: "number > 0", default: 1e-6, help: "learning rate of rewards" },
    rl_steps: { type: "number.integer >= 1", default: 100, help: "updates by rewards", value: "N" },
    controls: { type: "boolean", default: false, help: "the two controls beside it" },
  },
  stages(given) {
    const { model, to, shared, values } = given;
    const [least = 0, most = 0, more] = values.people;
    if (more !== undefined || !(least >= 2 && most >= least) || !values.people.every(Number.isInteger))
      throw new UserError(`--people ${values.people.join(",")} should be two numbers of 2 and more`, "for example 3,8");
    const sizes = Array.from({ length: most - least + 1 }, (_, i) => least + i);
    const size = Math.ceil(values.puzzles / sizes.length);
    const puzzles = sizes.map(
      (people): Stage => ({
        title: `Puzzles of ${people} people, with the search for who is what`,
        words: ["ingot", "data", "knights", ...flags({ people, trace: true, size })],
        makes: `${to}/knights-${people}.jsonl`,
      }),
    );
    const few = `${to}/few.jsonl`;
    const update = batchOf(values.batch, given);
    const { group, sft_lr, sft_epochs, rl_lr, rl_steps, max_length } = values;
    const { reward, max_new_tokens } = shared;
    const rewarded = {
      method: "grpo",
      group,
      reward,
      data: few,
      ...update,
      lr: rl_lr,
      steps: rl_steps,
      max_new_tokens,
    };
    const learnt = { ...update, lr: sft_lr, epochs: sft_epochs };
    const [warm, tuned, plain, shown] = ["warm", "tuned", "plain", "shown"].map((name) => `${to}/${name}`) as [
      ...[string, string, string, string],
    ];
    const data = puzzles.flatMap(({ makes }) => ["--data", makes!]);
    const warmUp = trains("Warm-up on the puzzles", "train", model, { ...learnt, max_length }, warm);
    return [
      ...puzzles,
      { ...warmUp, words: [...warmUp.words.slice(0, 3), ...data, ...warmUp.words.slice(3)] },
      { title: "A few examples of the target", words: ["head", "-n", `${values.examples}`, values.target], makes: few },
      trains("Rewards on them, after the warm-up", "align", warm, rewarded, tuned),
      ...(values.controls
        ? [
            trains("Rewards on them without the warm-up", "align", model, rewarded, plain),
            trains("The examples learnt by heart", "train", model, { data: few, ...learnt }, shown),
          ]
        : []),
      measures([model, warm, tuned, ...(values.controls ? [plain, shown] : [])], given),
    ];
  },
});
