import type { Answered } from "../../../src/align/verifying/contract.ts";
import { term } from "../../align/policies/world.ts";
import { type LetterRun, lettersRun } from "../align-letters.ts";
import { mean } from "../curriculum-lab.ts";
import type { Bound, Experiment } from "../experiment.ts";

/** Beyond it more of the first reward is worth less. */
const BEST = 0.5;

const many = ({ answer }: Answered): number => Math.min(5, [...answer].filter((letter) => letter === "e").length) / 5;
const first = ({ prompt, answer }: Answered): number => (answer[0] === prompt ? 1 : 0);
const gold = (answered: Answered): number =>
  many(answered) + first(answered) - 8 * Math.max(0, many(answered) - BEST) ** 2;

/** The last one is measured and trains nothing. */
const TERMS = [term("many", many), term("first", first), term("gold", gold, 0)];

const HELD: LetterRun["settings"] = { reward_weights: "constrained", thresholds: [BEST, 0.9], multiplier_lr: 2 };
const RUNS: Readonly<Record<string, Pick<LetterRun, "method" | "settings" | "steps">>> = {
  "grpo, plain sum": { method: "grpo", settings: {}, steps: 100 },
  "grpo, constrained": { method: "grpo", settings: HELD, steps: 100 },
  "ppo, plain sum": { method: "ppo", settings: { updates: 2 }, steps: 200 },
  "ppo, constrained": { method: "ppo", settings: { updates: 2, ...HELD }, steps: 200 },
};
const SEARCH = "grpo, search for thresholds from 0.3";
const COLUMNS = ["many", "first", "gold", "gold at its best"] as const;

const bounds: Readonly<Record<string, Bound>> = Object.fromEntries(
  ["grpo", "ppo"].flatMap((method): [string, Bound][] => [
    [`${method}, constrained − plain sum: gold`, { above: 0.2 }],
    [`${method}, constrained: many`, { above: 0.35, below: 0.65 }],
  ]),
);

const tail = (told: readonly Readonly<Record<string, number>>[], name: string, from: number, to: number): number =>
  mean(told.slice(from, to).map((one) => one[`reward.${name}`]!));

export const experiment: Experiment = {
  title: "A reward that is worth pursuing only so far",
  about: `Answers of at most six letters (test/experiments/align-letters.ts). *many* is the share of the letter e, up to five, *first* whether the
answer begins with the prompt's letter; the gold score, which trains nothing, is many + first − 8 max(0, many − 0.5)². 64 answers a rollout, 100
rollouts at rate 1e-2, \`--kl 0.02 --kl-in reward\`; the plain sum of both rewards, and \`--reward-weights constrained --thresholds 0.5,0.9\` with
\`--multiplier-lr 2\`. Means of the last 20 rollouts, and the best of any 10. The last row is where the search of \`align tune-thresholds\` found gold
to be best, beginning at 0.3 for both in 300 rollouts: short of 0.5, because the second reward was still being learned while thresholds were tried.
With \`ppo\` the second reward is learned so slowly that what is held does not win on every seed.`,
  columns: COLUMNS,
  seeds: [1, 2, 3],
  tested: 1,
  long: true,
  figures: Object.fromEntries(
    [
      ...[...Object.keys(RUNS), SEARCH].flatMap((row) => COLUMNS.map((column) => `${row}: ${column}`)),
      "grpo, constrained − plain sum: gold",
      "ppo, constrained − plain sum: gold",
    ].map((name) => [name, bounds[name] ?? {}]),
  ),
  async run(seed) {
    const figures: Record<string, number> = {};
    const common = { terms: TERMS, seed, reference: true };
    const kl = { kl: 0.02, kl_in: "reward" } as const;
    for (const [name, { method, settings, steps }] of Object.entries(RUNS)) {
      const told = await lettersRun({ ...common, method, steps, settings: { ...kl, ...settings, group: 8 } });
      for (const column of ["many", "first", "gold"])
        figures[`${name}: ${column}`] = tail(told, column, -20, told.length);
      const runs = told.slice(9).map((_, i) => tail(told, "gold", i, i + 10));
      figures[`${name}: gold at its best`] = Math.max(...runs);
    }
    for (const method of ["grpo", "ppo"])
      figures[`${method}, constrained − plain sum: gold`] =
        figures[`${method}, constrained: gold`]! - figures[`${method}, plain sum: gold`]!;
    const tuning = { gold: [1], steps: [0.3, 0.3], patience: 15, window: 4, near: 0.05 };
    const settings = { ...kl, ...HELD, thresholds: [0.3, 0.3] };
    const told = (await lettersRun({ ...common, method: "grpo", steps: 300, settings, tuning })).at(-1)!;
    figures[`${SEARCH}: many`] = told["best_threshold.many"]!;
    figures[`${SEARCH}: first`] = told["best_threshold.first"]!;
    figures[`${SEARCH}: gold at its best`] = told.best_gold!;
    return figures;
  },
};
