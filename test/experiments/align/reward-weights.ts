import type { RewardTerm } from "../../../src/align/verifying/rewards.ts";
import { term } from "../../align/policies/world.ts";
import { lettersRun } from "../align-letters.ts";
import { mean } from "../curriculum-lab.ts";
import type { Bound, Experiment } from "../experiment.ts";

const MOST = 6;

/** How much of the answer is the letter of the prompt, with less for each one more; and how short it is. */
const termsOf = (accuracy: number): RewardTerm[] => [
  term(
    "accuracy",
    ({ prompt, answer }) => {
      const right = [...answer].filter((letter) => letter === prompt).length;
      return 1 - (1 - right / MOST) ** 2;
    },
    accuracy,
  ),
  term("shortness", ({ tokens }) => 1 - tokens! / MOST, 1 - accuracy),
];

const FIXED = [0.2, 0.35, 0.5, 0.65, 0.8];
const DYNAMIC = ["hypervolume", "gradient"] as const;
const COLUMNS = ["accuracy", "shortness", "dominated by a fixed mix by"] as const;
const nameOf = (weight: number) => `fixed, ${weight} and ${Number((1 - weight).toFixed(2))}`;

const bounds: Readonly<Record<string, Bound>> = Object.fromEntries(
  DYNAMIC.map((name) => [`${name}: dominated by a fixed mix by`, { below: 0.05 }]),
);

interface Point {
  readonly accuracy: number;
  readonly shortness: number;
}

/** By how much the nearest of others is better in both. */
const dominated = (own: Point, others: readonly Point[]): number =>
  Math.max(...others.map((other) => Math.min(other.accuracy - own.accuracy, other.shortness - own.shortness)));

export const experiment: Experiment = {
  title: "Two rewards that contradict each other",
  about: `Answers of at most six letters (test/experiments/align-letters.ts): the letter of the prompt, as often as it may be, is accurate,
1 − (1 − n/6)², and every token costs a sixth of shortness. \`dr-grpo\`, 64 answers a rollout, 60 rollouts at rate 1e-2. Fixed mixes, \`--reward-weights
hypervolume\` from equal weights measured on other prompts every five rollouts, and \`gradient\`; means of the last ten rollouts. The last column is by
how much some fixed mix is better in both rewards; below 0, none is. No run of weights that change is dominated, and none dominates: hypervolume
ends where equal weights do on two of three seeds, and gradients leave what is wanted to chance: the front is nearly straight.`,
  columns: COLUMNS,
  seeds: [1, 2, 3],
  tested: 1,
  long: true,
  figures: Object.fromEntries(
    [...FIXED.map(nameOf), ...DYNAMIC].flatMap((row) =>
      COLUMNS.map((column) => [`${row}: ${column}`, bounds[`${row}: ${column}`] ?? {}]),
    ),
  ),
  async run(seed) {
    const points = new Map<string, Point>();
    const reached = async (name: string, weight: number, settings: Record<string, unknown>) => {
      const told = await lettersRun({
        ...{ method: "dr-grpo", settings, terms: termsOf(weight), seed, steps: 60 },
        ...(settings.reward_weights === "hypervolume" ? { held: { prompts: [[5], [6], [7]], every: 5 } } : {}),
      });
      const of = (term: string) => mean(told.slice(-10).map((one) => one[`reward.${term}`]!));
      points.set(name, { accuracy: of("accuracy"), shortness: of("shortness") });
    };
    for (const weight of FIXED) await reached(nameOf(weight), weight, {});
    for (const name of DYNAMIC) await reached(name, 0.5, { reward_weights: name });
    return Object.fromEntries(
      [...points].flatMap(([name, own]) => {
        const others = FIXED.map(nameOf).filter((other) => other !== name);
        const by = dominated(own, others.map((other) => points.get(other)!)); // biome-ignore format: one idea
        return [
          [`${name}: accuracy`, own.accuracy],
          [`${name}: shortness`, own.shortness],
          [`${name}: dominated by a fixed mix by`, by],
        ];
      }),
    );
  },
};
