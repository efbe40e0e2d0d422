#!/usr/bin/env bun
/**
 * Train a model by preferences between answers, or by rewards of its own ones.
 *
 *   bun run align model/ --method dpo --data preferences.jsonl --epochs 1 -o aligned/
 *   bun run align model/ --method grpo --reward exact --data rows.jsonl --steps 200 -o solving/
 */
import { BEST_OF, FILTER, PLAN, STEPS } from "../src/align/attempts/options.ts";
import { CONTROL } from "../src/align/control/options.ts";
import { LABEL } from "../src/align/hindsight.ts";
import { META } from "../src/align/meta/options.ts";
import { ALIGN, ESTIMATE, PREPARE, TUNE } from "../src/align/options.ts";
import { SCORE } from "../src/align/verifying/options.ts";
import { command, script } from "../src/cli/script.ts";

await script({
  name: "align",
  about: "Train a model by preferences between answers, or by rewards of its own ones.",
  args: "[model]",
  examples: [
    "bun run align model/ --method dpo --data preferences.jsonl --epochs 1 -o aligned/",
    "bun run align model/ --method dpo --pair-loss ipo --lora --lr 1e-4 --data preferences.jsonl -o preferring/",
    "bun run align model/ --method kto --data judged.jsonl --epochs 1 -o wanted/",
    "bun run align model/ --method reward --data preferences.jsonl --epochs 1 -o reward/",
    "bun run align model/ --method grpo --data rows.jsonl --reward exact --group 4 --batch-size 8 --max-new-tokens 4 --steps 2 -o solving/",
  ],
  methods: "align",
  defaultMethod: "dpo",
  output: "checkpoint",
  options: ALIGN,
  essentials: ["data", "steps", "epochs", "batch_size", "lr", "pair_loss", "lora", "resume"],
  commands: {
    control: command({
      about: "Learn a small policy from logged steps of a world, and measure it there.",
      args: "[policy]",
      examples: [
        "bun run align control --data grid.jsonl --environment gridworld --steps 40 -o policy.safetensors",
        "bun run align control --data arms.jsonl --environment bandit --quality split --method awr --family --steps 20 -o family.safetensors",
        "bun run align control policy.safetensors --data grid.jsonl --environment gridworld --steps 0 --online 50 -o onward.safetensors",
      ],
      methods: "control",
      defaultMethod: "awr",
      output: "checkpoint",
      options: CONTROL,
      notes: `Rows are those of bun run data gridworld, pointmass or bandit; the world is made again from the same options. Returns are means
over --episodes, of actions that are drawn and of the likeliest ones (greedy), beside a policy that acts uniformly, one that was cloned from the
rows in as many updates, and the best there is. A policy that is given is begun with; --steps 0 only measures it, or goes on from it in the world.`,
      run: async (context) => (await import("../src/align/commands/control.ts")).control(context),
    }),
    meta: command({
      about:
        "Find how small learners are to learn by evolution strategies over whole lifetimes: a schedule, a penalty, an objective.",
      examples: [
        "bun run align meta --generations 2 --lives 1 --test-lives 2 -o schedule.safetensors",
        "bun run align meta --form drift --world gridworld --lengths 5,10 --test-lengths 8 --generations 1 --pairs 2 --test-lives 2 -o drift.safetensors",
      ],
      output: "checkpoint",
      options: META,
      notes: `A lifetime is a softmax policy that learns in one world of its own; what counts is what it is worth at the end, as a share of the best
there is. What is searched sees how far the lifetime has come and how long it is. It is measured on lifetimes that the search never lived,
beside the learner without it and the best constants of a grid. Lengths are steps of bandits under --form schedule, else updates by 40 steps.`,
      run: async (context) => (await import("../src/align/commands/meta.ts")).meta(context),
    }),
    score: command({
      about: "Judge answers in a file as a run with rewards would.",
      args: "[answers]",
      examples: [
        "bun run align score answers.jsonl --reward exact --reward '0.1*format:<a>.*</a>'",
        "bun run align score answers.jsonl --verify 'sh check.sh' --verify-time 5 -o scored.jsonl",
      ],
      output: "none",
      options: SCORE,
      notes: `A line of answers holds prompt, answer, and the row with the right answer, under row or beside them:
  {"prompt": "2+2=", "answer": "5", "tokens": 1, "row": {"prompt": "2+2=", "completion": "4"}}
Such lines are what a command of --verify reads from stdin; it writes a line for each, a number or {"reward": 0.5}, or null where it
cannot judge. Each batch has a process of its own, whose input ends behind it; with --verify-keep one process serves all. A command
that takes longer than --verify-time, ends early or writes anything else is ended, with all that it started, and refused by the row.
Lines go out in the order of the answers: {"reward": 0, "parts": {"exact": 0}}. --json prints the means instead.`,
      run: async (context) => (await import("../src/align/commands/score.ts")).score(context),
    }),
    "best-of": command({
      about: "Answer every prompt several times, and write the answers that are worth most.",
      args: "[model]",
      examples: [
        "bun run align best-of model/ --data rows.jsonl --reward exact --answers 4 --max-new-tokens 4 -o best.jsonl",
      ],
      output: "none",
      options: BEST_OF,
      essentials: ["data", "reward", "verify", "answers", "top", "max_new_tokens", "temperature"],
      notes: `A line is a row to train on: prompt, completion, reward, and mean_reward of all answers to its prompt. Of answers that are
worth the same the first counts. The policy that so chooses is at most ln N - (N-1)/N nats from the model.`,
      run: async (context) => (await import("../src/align/commands/best-of.ts")).bestOf(context),
    }),
    "tune-thresholds": command({
      about: "Find how far each reward is worth pursuing, while a policy trains that is held there.",
      args: "[model]",
      examples: [
        "bun run align tune-thresholds model/ --method grpo --data rows.jsonl --reward 'format:^[0-9]+$' --gold exact --reward-weights constrained --thresholds 0.5 --kl 0.05 --kl-in reward --batch-size 8 --max-new-tokens 4 --steps 4 -o tuned/",
      ],
      methods: "align",
      defaultMethod: "ppo",
      output: "checkpoint",
      options: TUNE,
      essentials: ["data", "gold", "steps", "batch_size", "lr", "threshold_steps", "threshold_patience", "resume"],
      notes: `The policy is led from one point of thresholds to the next. At each the gold score is measured once its rewards are there, or after
--threshold-patience rollouts; a simplex of points (Nelder and Mead) says which comes next. The result and the log name the best point so far,
the means of the rewards that were measured there: --thresholds of a new run.`,
      run: async (context) => (await import("../src/align/commands/tune-thresholds.ts")).tuneThresholds(context),
    }),
    filter: command({
      about: "Keep the rows that a model can learn from by rewards: those it solves in some of several attempts.",
      args: "[model]",
      examples: [
        "bun run align filter model/ --data rows.jsonl --reward regex:[0-9] --attempts 4 --max-new-tokens 4 -o learnable.jsonl",
      ],
      output: "none",
      options: FILTER,
      essentials: ["data", "reward", "verify", "attempts", "keep", "success", "max_new_tokens", "temperature"],
      run: async (context) => (await import("../src/align/commands/filter.ts")).filter(context),
    }),
    "prepare-steps": command({
      about: "Make pairs for --method dpo from the steps at which a model's own wrong solutions are lost.",
      args: "[model]",
      examples: [
        "bun run align prepare-steps model/ --data rows.jsonl --reward regex:[0-9] --max-new-tokens 8 -o steps.jsonl",
      ],
      output: "none",
      options: STEPS,
      essentials: [
        "data",
        "reward",
        "verify",
        "solutions",
        "continuations",
        "pit",
        "to",
        "right_steps",
        "success",
        "max_new_tokens",
      ],
      notes: `Solutions are divided at their line breaks. From every step of a wrong one the model goes on --continuations times; the first step
after which at most --pit of them come out right is the critical one. The prompt of a pair ends before it:
  {"prompt": "…", "chosen": "a right way on", "rejected": "the rest of the wrong solution", "step": 2, "chances": [0.4, 0.5, 0]}
--to steps writes all solutions for a process reward model instead, whose steps are right up to the critical one:
  {"prompt": "…", "completions": ["first step", "second step"], "labels": [true, false]}`,
      run: async (context) => (await import("../src/align/commands/prepare-steps.ts")).prepareSteps(context),
    }),
    plan: command({
      about: "Let a model plan errands with scripted workers, and make rows of what comes of it.",
      args: "[model]",
      examples: [
        "bun run align plan planning/ --data errands.jsonl --attempts 2 --turns 2 --max-new-tokens 4 --to wins -o wins.jsonl",
      ],
      output: "none",
      options: PLAN,
      notes: `Rows are those of bun run data errands. The model writes a message, the worker that it calls answers in a message of the role
tool, and so on until it says what it found. Pairs are rows for --method planner; --to wins gives conversations for train. How many
trajectories end right is told.`,
      run: async (context) => (await import("../src/align/commands/plan.ts")).plan(context),
    }),
    label: command({
      about: "Make pairs or rewards of advice to customers, rated at once or after what became of it.",
      args: "<answers>",
      examples: ["bun run align label advice.jsonl --field completion --hindsight partial -o seen.jsonl"],
      output: "none",
      options: LABEL,
      notes: `Rows are those of bun run data shop, or answers to them as align score reads them: prompt, answer, and the row with its shop.
A customer buys where the item seems worth it by what was claimed. --hindsight none rates that expectation; partial the same once the
purchase has revealed one feature; oracle what the purchase is worth. Not buying is worth 0. Only pairs of different ratings are made.`,
      run: async (context) => (await import("../src/align/commands/label.ts")).label(context),
    }),
    estimate: command({
      about: "Say what a policy would bring, from decisions that another one took.",
      args: "[model]",
      examples: ["bun run align estimate policy/ --data decisions.jsonl"],
      output: "none",
      options: ESTIMATE,
      run: async (context) => (await import("../src/align/commands/estimate.ts")).estimate(context),
    }),
    prepare: command({
      about: "Take what confounders explain off the outcomes of logged texts, and make rewards or pairs of the rest.",
      args: "<rows>",
      examples: ["bun run align prepare outcomes.jsonl --deconfound author --to pairs --folds 2 -o fair.jsonl"],
      output: "none",
      options: PREPARE,
      run: async (context) => (await import("../src/align/commands/prepare.ts")).prepare(context),
    }),
  },
  notes: `The reference is the model as it was; its likelihoods are computed once, before the first step, so no second model is in memory.
--batch-size counts pairs, or single answers. Resuming and the other options of train work here too.`,
  run: async (context) => (await import("../src/align/command.ts")).align(context),
});
