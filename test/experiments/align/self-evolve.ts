import { term } from "../../align/policies/world.ts";
import { type LetterRun, lettersRun, PROMPTS } from "../align-letters.ts";
import { mean } from "../curriculum-lab.ts";
import type { Experiment } from "../experiment.ts";

const ROLLOUTS = 90;

/** Right answers begin with the letter of the prompt and this one; one in 64 does by chance. */
const RIGHT = [term("right", ({ prompt, answer }) => (answer.startsWith(`${prompt}f`) ? 1 : 0))];

const RUNS: Readonly<Record<string, Pick<LetterRun, "warms" | "rounds">>> = {
  continuous: {},
  "optimizer reset": { rounds: ROLLOUTS / 3 },
  "auto temperature": { warms: true },
};
const COLUMNS = [
  "right, all rollouts",
  "right at the end",
  "greedy at the end",
  "Pass@16, first",
  "Pass@16, last",
  "Reward-Pass@2, last",
  "temperature, last",
] as const;

export const experiment: Experiment = {
  title: "Self-evolving training: an optimizer that goes on, and the temperature",
  about: `Answers of at most four letters (test/experiments/align-letters.ts), right where they begin with the prompt's letter and an f: one in 64 does at first.
\`--method self-evolve --top 2 --rerank own-logprob\`, 90 rollouts of 8 prompts and 16 answers each at rate 1e-2, and every six rollouts a look at 16
other answers to each of the four prompts. The optimizer goes on, or begins again every three rollouts; \`--temperature auto\` chooses from 0.4 to 1.6 in steps of 0.3.
At a higher temperature, which is chosen, Reward-Pass@2 is ahead on all seeds, where it was chosen by it, and the share of right answers on two of
three. An optimizer that goes on is no worse than one that begins again. Pass@16 rises in all runs: this world is too easy to show that it falls at
a fixed temperature.`,
  columns: COLUMNS,
  seeds: [1, 2, 3],
  tested: 1,
  long: true,
  figures: Object.fromEntries(
    [
      ...Object.keys(RUNS).flatMap((row) => COLUMNS.map((column) => `${row}: ${column}`)),
      "continuous − reset: right, all rollouts",
    ].map((name) => [name, name.startsWith("continuous −") ? { above: -0.02 } : {}]),
  ),
  async run(seed) {
    const figures: Record<string, number> = {};
    const settings = { group: 16, top: 2, max_new_tokens: 4, rerank: "own-logprob", temperature_every: 6 };
    const grid = [0.4, 0.7, 1, 1.3, 1.6];
    for (const [name, own] of Object.entries(RUNS)) {
      const told = await lettersRun({
        ...{ method: "self-evolve", settings: { ...settings, temperature_grid: grid } as LetterRun["settings"] },
        ...{ terms: RIGHT, seed, steps: ROLLOUTS, held: { prompts: PROMPTS, every: 2 }, ...own },
      });
      const looks = told.filter(({ pass }) => pass !== undefined);
      const [first, last] = [looks[0]!, looks.at(-1)!];
      const of = (key: string, from: number) => mean(told.slice(from).map((one) => one[key]!));
      Object.assign(figures, {
        [`${name}: right, all rollouts`]: of("reward", 0),
        [`${name}: right at the end`]: of("reward", -10),
        [`${name}: greedy at the end`]: last.greedy!,
        [`${name}: Pass@16, first`]: first.pass!,
        [`${name}: Pass@16, last`]: last.pass!,
        [`${name}: Reward-Pass@2, last`]: last.reward_pass!,
        [`${name}: temperature, last`]: last.temperature!,
      });
    }
    figures["continuous − reset: right, all rollouts"] =
      figures["continuous: right, all rollouts"]! - figures["optimizer reset: right, all rollouts"]!;
    return figures;
  },
};
