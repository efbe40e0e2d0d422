import { type Answer, AnswerLab, type Asked, meanTokens, shareOf } from "../align-answers.ts";
import { mean } from "../curriculum-lab.ts";
import type { Bound, Experiment } from "../experiment.ts";

const ROLLOUTS = 75;
/** Updates of a rollout of 256 answers. */
const UPDATES = 4;

/** `dapo` draws prompts twice for a rollout, because some groups are all wrong or all right. */
const RUNS: Readonly<Record<string, { readonly line: string; readonly rollouts: number }>> = {
  grpo: { line: "--method grpo", rollouts: ROLLOUTS },
  rloo: { line: "--method rloo", rollouts: ROLLOUTS },
  ppo: { line: "--method ppo --updates 1 --kl 0.01", rollouts: ROLLOUTS },
  "ppo, head at the model's rate": { line: "--method ppo --updates 1 --kl 0.01 --value-lr 1e-3", rollouts: ROLLOUTS },
  dapo: { line: "--method dapo", rollouts: Math.ceil(ROLLOUTS / 2) },
};

const COLUMNS = ["greedy accuracy", "sampled accuracy", "mean reward", "mean tokens", "answers sampled"] as const;

const bounds: Readonly<Record<string, Bound>> = {
  "base: sampled accuracy": { above: 0.15, below: 0.45 },
  ...Object.fromEntries(Object.keys(RUNS).map((name) => [`${name} − base: greedy accuracy`, { above: 0.1 }])),
};

const right = ({ asked, text }: Answer<Asked>) => text === asked.answer;

export const experiment: Experiment = {
  title: "Two-digit sums: `grpo`, `rloo`, `ppo` and `dapo` at equal rollouts",
  about: `A decoder of two layers of 32 learns sums, ones first and padded ("28+74=" is "201"), by cross-entropy until a fifth or more of its
samples are right. Then \`align\` rewards exact answers in ${ROLLOUTS} rollouts of 256, four updates each, at a rate of 1e-3 that falls in a cosine, with 8
answers to a prompt, in \`ppo\` 1. \`dapo\` samples as many answers in half the rollouts, because it draws prompts twice to find groups that
differ, and so makes half the updates. \`ppo\` goes over a rollout once, with a divergence of 0.01 in its rewards; its head has ten times the
model's rate, or the same. Accuracy is that of 400 unseen sums, the mean reward that of the last five rollouts with what \`dapo\` leaves out;
tokens are without the one that ends an answer. A run takes about a minute of one core.`,
  columns: COLUMNS,
  seeds: [1, 2, 3],
  tested: 1,
  long: true,
  figures: Object.fromEntries(
    [
      ...["base", ...Object.keys(RUNS)].flatMap((name) => COLUMNS.map((column) => `${name}: ${column}`)),
      ...Object.keys(RUNS).map((name) => `${name} − base: greedy accuracy`),
    ].map((name) => [name, bounds[name] ?? {}]),
  ),
  run: (seed) =>
    AnswerLab.on({ seed, characters: "0123456789+=" }, async (lab) => {
      const data = (line: string) => lab.run("data", `addition --digits 2 --pad --reversed ${line}`);
      await data("--size 2000 -o shown.jsonl");
      await data("--size 400 --split test -o held.jsonl");
      await lab.run("data", "addition --digits 2 --pad --reversed --size 4000 -o sums.jsonl");
      const held = lab
        .read<{ prompt: string; completion: string }>("held.jsonl")
        .map(({ prompt, completion }) => ({ prompt, answer: completion }));
      const figures: Record<string, number> = {};
      const judge = async (model: string, name: string) => {
        const sampled = await lab.answers(model, held, "--max-tokens 4 --temperature 1");
        figures[`${name}: greedy accuracy`] = shareOf(await lab.answers(model, held, "--max-tokens 4"), right);
        figures[`${name}: sampled accuracy`] = shareOf(sampled, right);
        figures[`${name}: mean tokens`] = meanTokens(sampled);
      };
      await lab.train(
        "--init config.json --tokenizer letters",
        "--data shown.jsonl --steps 200 --lr 4e-3 --warmup 50",
        "base",
      );
      await judge("base", "base");
      while (figures["base: sampled accuracy"]! < 0.2) {
        await lab.train("base", "--data shown.jsonl --steps 25 --lr 4e-3", "base");
        await judge("base", "base");
      }
      for (const [name, { line, rollouts }] of Object.entries(RUNS)) {
        const settings = `--data sums.jsonl --reward exact --max-new-tokens 4 --prompts-per-step ${line.includes("ppo") ? 256 : 32}`;
        const update = `--batch-size 64 --steps ${rollouts * UPDATES} --lr 1e-3 --warmup 10`;
        const made = await lab.align("base", `${line} ${settings} ${update}`, "aligned");
        await judge("aligned", name);
        figures[`${name}: mean reward`] = mean(made.slice(-5).map(({ reward }) => reward!));
        const groups = made.map(({ answers, drawn_groups: drawn }) => (drawn === undefined ? answers! : 8 * drawn));
        figures[`${name}: answers sampled`] = groups.reduce((a, b) => a + b, 0);
        figures[`${name} − base: greedy accuracy`] =
          figures[`${name}: greedy accuracy`]! - figures["base: greedy accuracy"]!;
      }
      return figures;
    }),
};
