import { type Answer, AnswerLab, type Asked, shareOf } from "../align-answers.ts";
import { mean } from "../curriculum-lab.ts";
import type { Bound, Experiment } from "../experiment.ts";

const ROLLOUTS = 60;
const DIGITS = [1, 2, 3] as const;
const RUNS: Readonly<Record<string, string>> = {
  uniform: "--mixture 1,1,1",
  sec: "--curriculum sec --arm-temperature 0.2",
  dump: "--curriculum dump",
};

const THIRD = ROLLOUTS / 3;
const COLUMNS = [
  ...DIGITS.map((digits) => `sampled accuracy, ${digits} digits`),
  "share of 3 digits, first third",
  "share of 3 digits, last third",
];

const bounds: Readonly<Record<string, Bound>> = {
  "base: sampled accuracy, 3 digits": { below: 0.7 },
  "uniform: sampled accuracy, 3 digits": { above: 0.55 },
  "sec: share of 3 digits, last third": { above: 0.4 },
  "dump: share of 3 digits, last third": { above: 0.4 },
};

const right = ({ asked, text }: Answer<Asked>) => text === asked.answer;

export const experiment: Experiment = {
  title: "Which sums to practise: groups of prompts by the size of their advantages",
  about: `A decoder of two layers of 32 learns padded sums, ones first ("28+74=" is "201"), by 700 steps of cross-entropy: 30 % of one digit, 55 % of two,
15 % of three. Then \`grpo\` rewards exact answers in ${ROLLOUTS} rollouts of 128, 8 to a prompt, two updates each, at a rate of 2e-3 that falls in a
cosine. Prompts are of one, two or three digits: all alike (uniform), or drawn by \`--curriculum sec\` with a temperature of 0.2, or \`dump\` as it is.
Accuracy is that of samples, on 30 unseen sums of one digit and 150 of two and of three. A run takes about a minute of one core.`,
  columns: COLUMNS,
  seeds: [1, 2, 3],
  tested: 1,
  long: true,
  figures: Object.fromEntries(
    ["base", ...Object.keys(RUNS)].flatMap((name) =>
      COLUMNS.map((column) => [`${name}: ${column}`, bounds[`${name}: ${column}`] ?? {}]),
    ),
  ),
  run: (seed) =>
    AnswerLab.on({ seed, characters: "0123456789+=" }, async (lab) => {
      const data = (digits: number, line: string) =>
        lab.run("data", `addition --digits ${digits} --pad --reversed ${line}`);
      for (const digits of DIGITS) {
        await data(digits, `--size ${digits === 1 ? 60 : 1500} -o sums-${digits}.jsonl`);
        await data(digits, `--size ${digits === 1 ? 30 : 150} --split test -o held-${digits}.jsonl`);
      }
      const figures: Record<string, number> = {};
      const judge = async (model: string, name: string) => {
        for (const digits of DIGITS) {
          const held = lab
            .read<{ prompt: string; completion: string }>(`held-${digits}.jsonl`)
            .map(({ prompt, completion }) => ({ prompt, answer: completion }));
          const answers = await lab.answers(model, held, "--max-tokens 5 --temperature 1");
          figures[`${name}: sampled accuracy, ${digits} digits`] = shareOf(answers, right);
        }
      };
      const three = DIGITS.map((digits) => `--data d${digits}=sums-${digits}.jsonl`).join(" ");
      await lab.train(
        "--init config.json --tokenizer letters",
        `${three} --mixture 0.3,0.55,0.15 --steps 700 --lr 4e-3 --warmup 50`,
        "base",
      );
      await judge("base", "base");
      for (const [name, line] of Object.entries(RUNS)) {
        const settings = `--method grpo --reward exact --group 8 --max-new-tokens 5 --prompts-per-step 16`;
        const update = `--batch-size 64 --steps ${2 * ROLLOUTS} --lr 2e-3 --warmup 5`;
        const made = await lab.align("base", `${settings} ${three} ${line} ${update}`, "aligned");
        await judge("aligned", name);
        const shares = made.map((rollout) => rollout["share.d3"] ?? 1 / 3);
        figures[`${name}: share of 3 digits, first third`] = mean(shares.slice(0, THIRD));
        figures[`${name}: share of 3 digits, last third`] = mean(shares.slice(-THIRD));
      }
      return figures;
    }),
};
