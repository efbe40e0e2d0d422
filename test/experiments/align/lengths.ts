import { type Answer, AnswerLab, type Asked, isRight, meanTokens, shareOf } from "../align-answers.ts";
import type { Bound, Experiment } from "../experiment.ts";
import { uniform } from "../support.ts";

const MODULUS = 7;
const TERMS = 4;

interface Sum extends Asked {
  readonly completion: string;
  readonly terms: readonly number[];
  readonly hard: boolean;
}

const hash = (terms: readonly number[]): number => terms.reduce((h, x) => (31 * h + x + 1) % 1009, 7) / 1009;

/** A sum of two terms after two zeros, or of four. Some of the latter are held out; the 49 of the former are not. */
function draw(next: () => number, held: boolean): Sum {
  const digit = () => Math.floor(next() * MODULUS);
  const hard = next() < 0.5;
  for (;;) {
    const terms = Array.from({ length: TERMS }, (_, i) => (hard || i >= TERMS - 2 ? digit() : 0));
    if (hard && hash(terms) < 0.15 !== held) continue;
    const answer = String(terms.reduce((a, b) => a + b) % MODULUS);
    return { prompt: `${terms.join("+")}=`, answer, completion: answer, terms, hard };
  }
}

/** The ways to write: at once, with the sums so far, with every addition: "S2", "T032=2", "T00=0;03=3;36=2;=2". */
function writings({ terms, answer }: Sum): [string, string, string] {
  const [first = 0, ...more] = terms;
  let sum = first;
  const steps = more.map((term) => {
    const before = sum;
    sum = (sum + term) % MODULUS;
    return { sum: `${sum}`, whole: `${before}${term}=${sum};` };
  });
  const through = (of: (step: (typeof steps)[number]) => string) => `T${steps.map(of).join("")}=${answer}`;
  return [`S${answer}`, through((step) => step.sum), through((step) => step.whole)];
}

const ROLLOUT = "--max-new-tokens 20 --group 8 --prompts-per-step 16 --batch-size 64 --steps 50 --lr 1e-3 --warmup 5";
const CONTROL = "--control-tokens S,T";

const RUNS: Readonly<Record<string, string>> = {
  "right answers alone": "--method grpo --reward number",
  "accuracy, then length":
    "--method grpo --kl 0.04 --reward format:^[ST].*[0-9]$ --reward cosine-length:by=number --reward group-length:by=number --reward repetition:3",
  "degrpo, alpha 0.001": `--method degrpo ${CONTROL} --reward number`,
  "degrpo, alpha 1": `--method degrpo ${CONTROL} --alpha 1 --reward number`,
  "adaptthink, delta 0": `--method adaptthink ${CONTROL} --delta 0 --reward number`,
  "adaptthink, delta 0.05": `--method adaptthink ${CONTROL} --reward number`,
  "adaptthink, delta 0.5": `--method adaptthink ${CONTROL} --delta 0.5 --reward number`,
};

const SHARES = [0.2, 0.5, 0.8, 1];
const EFFORTS = ["before", "after"].flatMap((when) => SHARES.map((share) => `effort ${share}, ${when}`));

const COLUMNS = ["accuracy", "tokens", "accuracy, easy", "accuracy, hard", "thinks, easy", "thinks, hard"] as const;

const bounds: Readonly<Record<string, Bound>> = {
  "right answers alone: accuracy": { above: 0.8 },
  "right answers alone: tokens": { above: 10 },
  "accuracy, then length: tokens": { below: 4 },
  "degrpo, alpha 1: thinks, easy": { below: 0.4 },
  "degrpo, alpha 1: thinks, hard": { above: 0.6 },
  "adaptthink, delta 0.5: tokens": { below: 6 },
};

export const experiment: Experiment = {
  title: "Length control: accuracy against the mean length of answers",
  about: `Sums of four digits modulo ${MODULUS}, half of them easy: two of the digits are 0 ("0+0+3+6="). A decoder of two layers of 32 learns three
ways to write by cross-entropy, a third of rows each, in 700 steps: "S2" at once, "T032=2" with the sums so far, "T00=0;03=3;36=2;=2" with every
addition. Then come 25 rollouts of 128 answers, two updates each, at rate 1e-3, with rewards that know lengths, or methods that choose by the first
token. *Thinks* is the share of answers that begin with T; \`adaptthink\` compares with how often the base is right when it thinks, on easy and
on hard prompts. For \`effort\` the decoder reads on for 100 steps with a field of efforts that means nothing, and then is asked for 0.2 to 1 in
50 rollouts, with a least usual length of 19 tokens: "S2" always fits, "T032=2" from 0.37 on, every addition at 1 alone. Accuracy and
tokens are those of samples at temperature 1 for 300 prompts; the hard ones are unseen, the 49 easy ones are all known.`,
  columns: COLUMNS,
  seeds: [1, 2, 3],
  tested: 1,
  long: true,
  figures: Object.fromEntries(
    ["base", ...Object.keys(RUNS), ...EFFORTS]
      .flatMap((name) => COLUMNS.map((column) => `${name}: ${column}`))
      .map((name) => [name, bounds[name] ?? {}]),
  ),
  run: (seed) =>
    AnswerLab.on({ seed, characters: "0123456789+=;ST[effort .]" }, async (lab) => {
      const next = uniform(seed);
      const drawn = (count: number, held: boolean) => Array.from({ length: count }, () => draw(next, held));
      const written = (sum: Sum, field = "") => ({
        prompt: sum.prompt + field,
        completion: writings(sum)[Math.floor(3 * next())]!,
      });
      lab.write(
        "shown.jsonl",
        drawn(20_000, false).map((sum) => written(sum)),
      );
      lab.write(
        "fields.jsonl",
        drawn(6400, false).map((sum) => written(sum, `[effort ${(0.2 + 0.8 * next()).toFixed(2)}]`)),
      );
      const asked = drawn(600, false);
      const held = drawn(300, true);
      const figures: Record<string, number> = {};
      const judge = async (model: string, name: string, how = "") => {
        const all = await lab.answers(model, held, `--max-tokens 20 --temperature 1${how}`);
        const of = (hard: boolean) => all.filter(({ asked }) => asked.hard === hard);
        const thinks = ({ text }: Answer<Sum>) => text.startsWith("T");
        const found = [
          ...[shareOf(all, isRight), meanTokens(all), shareOf(of(false), isRight), shareOf(of(true), isRight)],
          ...[shareOf(of(false), thinks), shareOf(of(true), thinks)],
        ];
        for (const [i, column] of COLUMNS.entries()) figures[`${name}: ${column}`] = found[i]!;
      };
      const fresh = "--init config.json --tokenizer letters";
      await lab.train(fresh, "--data shown.jsonl --steps 350 --lr 5e-3 --warmup 50", "first");
      await lab.train("first", "--data shown.jsonl --steps 350 --lr 2e-3", "base");
      await judge("base", "base");
      // How often the base is right when it thinks: of easy prompts and of hard ones, from one answer to each.
      const opened = asked.map((sum) => ({ ...sum, prompt: `${sum.prompt}T` }));
      const thought = await lab.answers("base", opened, "--max-tokens 19 --temperature 1");
      const reference = [false, true].map((hard) =>
        shareOf(
          thought.filter((one) => one.asked.hard === hard),
          isRight,
        ),
      );
      lab.write(
        "sums.jsonl",
        asked.map((sum) => ({ ...sum, reference_accuracy: reference[Number(sum.hard)] })),
      );
      for (const [name, line] of Object.entries(RUNS)) {
        await lab.align("base", `${line} --data sums.jsonl ${ROLLOUT}`, "aligned");
        await judge("aligned", name);
      }
      await lab.train("base", "--data fields.jsonl --steps 100 --lr 2e-3", "asked");
      for (const share of SHARES) await judge("asked", `effort ${share}, before`, ` --effort ${share}`);
      const effort = "--method grpo --reward effort:by=number --effort-range 0.2,1 --effort-floor 19";
      await lab.align(
        "asked",
        `${effort} --data sums.jsonl ${ROLLOUT.replace("--steps 50", "--steps 100")}`,
        "aligned",
      );
      for (const share of SHARES) await judge("aligned", `effort ${share}, after`, ` --effort ${share}`);
      return figures;
    }),
};
