import { PreferenceLab } from "../align-preferences.ts";
import type { Bound, Experiment } from "../experiment.ts";

/** Runs by name: options of align and steps. kto reads single answers, twice as many. */
const RUNS = {
  dpo: ["--method dpo", 60],
  "dpo, hinge": ["--pair-loss hinge", 60],
  "dpo, ipo": ["--pair-loss ipo", 60],
  "dpo, cdpo": ["--pair-loss cdpo", 60],
  "dpo, per token": ["--pair-loss sigmoid-norm --beta 2", 60],
  rpo: ["--method rpo --nll mean --eta 0.2", 60],
  mpo: ["--method mpo", 60],
  simpo: ["--method simpo", 60],
  orpo: ["--method orpo --beta 1", 60],
  cpo: ["--method cpo", 60],
  slic: ["--method slic", 60],
  kto: ["--method kto", 120],
} as const;

const COLUMNS = ["accuracy", "Bayes − accuracy", "margin, nats", "chosen answers, nats gained"] as const;

/** Without noise preferences are never contradicted: what margins do in steps 100 to 200. */
const GROWTH = ["dpo", "dpo, ipo"].map((name) => `${name}, no noise: margin, nats`);

const bounds: Readonly<Record<string, Bound>> = {
  ...Object.fromEntries(Object.keys(RUNS).map((name) => [`${name}: Bayes − accuracy`, { below: 0.25 }])),
  "rpo beside dpo: chosen answers, nats gained": { above: 5 },
  "dpo beside ipo, no noise: margin, nats": { above: 1 },
};

export const experiment: Experiment = {
  title: "Preferences of a labeller whose utility is known",
  about: `400 pairs of answers of five letters (\`data preferences --shortest 5 --longest 5\`, a labeller of Bradley and Terry at temperature
0.25), a decoder of one layer that has read all answers once, \`align\` with 32 pairs a step at rate 3e-3, \`kto\` with 800 single answers that
are wanted or not. Accuracy on 400 other pairs: the share whose chosen answer is likelier; no judge can be above Bayes. Margins are those of
held-out pairs in nats, gains those of chosen answers of the training rows. Below, 60 pairs of a labeller without noise: by how much margins
grow from 100 to 200 steps, where DPO has no optimum and IPO has.`,
  columns: COLUMNS,
  seeds: [1, 2, 3],
  tested: 1,
  long: true,
  figures: Object.fromEntries(
    [
      ...Object.keys(RUNS).flatMap((name) => COLUMNS.map((column) => `${name}: ${column}`)),
      ...GROWTH,
      "rpo beside dpo: chosen answers, nats gained",
      "dpo beside ipo, no noise: margin, nats",
    ].map((name) => [name, bounds[name] ?? {}]),
  ),
  async run(seed) {
    const figures: Record<string, number> = {};
    await PreferenceLab.on({ seed, pairs: 400, world: "--temperature 0.25" }, async (lab) => {
      for (const [name, [line, steps]] of Object.entries(RUNS)) {
        const { accuracy, margin, gained } = await lab.align(line, steps);
        figures[`${name}: accuracy`] = accuracy;
        figures[`${name}: Bayes − accuracy`] = lab.bayes - accuracy;
        figures[`${name}: margin, nats`] = margin;
        figures[`${name}: chosen answers, nats gained`] = gained;
      }
    });
    await PreferenceLab.on({ seed, pairs: 60, world: "--temperature 0" }, async (lab) => {
      for (const [place, line] of ["--method dpo", "--pair-loss ipo"].entries()) {
        const [early, late] = [await lab.align(line, 100), await lab.align(line, 200)];
        figures[GROWTH[place]!] = late.margin - early.margin;
      }
    });
    const gained = (name: string) => figures[`${name}: chosen answers, nats gained`]!;
    figures["rpo beside dpo: chosen answers, nats gained"] = gained("rpo") - gained("dpo");
    figures["dpo beside ipo, no noise: margin, nats"] = figures[GROWTH[0]!]! - figures[GROWTH[1]!]!;
    return figures;
  },
};
