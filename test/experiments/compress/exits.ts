import { inLab } from "../curriculum-lab.ts";
import { experimentOf } from "../experiment.ts";

const LAMBDAS = [0, 0.3, 0.7, 2];
const DIGITS = "--canvas 9 --shift 1 --noise 0.3";

interface Fate {
  readonly cost: number;
  readonly accuracy: number;
  readonly ece: number;
}

export const experiment = experimentOf({
  title: "Exits whose gates are learnt, and a threshold of confidence",
  about: `A perceptron of six layers of 64 units on rendered digits of 9 × 9 pixels with noise, 2000 to learn and 1000 held out; exits after
each layer but the last, heads and gates by \`train exits\` with its defaults but for 30 passes, for four weights of the cost. *Confidence* is
the threshold on the same heads that costs no more. Cost is the share of multiplications, ECE the calibration error of what rows say where they leave.
\`edge\` is the mean over the weights of gates less confidence: here learnt gates are no better than the threshold, against the paper.`,
  seeds: [1, 2, 3],
  tested: 1,
  long: true,
  figures: {
    "whole model, accuracy": {},
    ...Object.fromEntries(
      LAMBDAS.flatMap((lambda) => [
        [`${lambda}: cost`, {}],
        [`${lambda}: accuracy by gates`, {}],
        [`${lambda}: accuracy by confidence`, {}],
        [`${lambda}: ECE by gates`, {}],
        [`${lambda}: ECE by confidence`, {}],
      ]),
    ),
    "edge, accuracy": { above: -0.03 },
    "edge, ECE": {},
    "cost, weight 2 − weight 0": { below: 0 },
  },
  run: (seed) =>
    inLab(async (lab) => {
      await lab.script("data", `glyphs ${DIGITS} --seed ${seed} --size 2000 --split train -o train.jsonl`);
      await lab.script("data", `glyphs ${DIGITS} --seed ${seed} --size 1000 --split test -o test.jsonl`);
      const net = { model_type: "mlp", input_size: 81, hidden_sizes: [64, 64, 64, 64, 64, 64], num_labels: 10 };
      const learn = `--data train.jsonl --batch-size 64 --steps 500 --lr 2e-3 --seed ${seed} --save-every 0`;
      await lab.script("train", `${lab.fresh(net)} ${learn} -o deep/`);
      await lab.script(
        "train",
        `exits deep/ --data train.jsonl --at 1,2,3,4,5 --lambda ${LAMBDAS.join(",")} --epochs 30 --seed ${seed} -o exits.safetensors`,
      );
      const text = await lab.script("evaluate", "exits deep/ --exits exits.safetensors --data test.jsonl --json");
      const { sets } = JSON.parse(text) as { sets: { lambda: number; gates: Fate; confidence: Fate; whole: Fate }[] };
      const mean = (of: (set: (typeof sets)[number]) => number) =>
        sets.reduce((sum, set) => sum + of(set), 0) / sets.length;
      const figures: Record<string, number> = {};
      for (const { lambda, gates, confidence } of sets) {
        figures[`${lambda}: cost`] = gates.cost;
        figures[`${lambda}: accuracy by gates`] = gates.accuracy;
        figures[`${lambda}: accuracy by confidence`] = confidence.accuracy;
        figures[`${lambda}: ECE by gates`] = gates.ece;
        figures[`${lambda}: ECE by confidence`] = confidence.ece;
      }
      return {
        "whole model, accuracy": sets[0]!.whole.accuracy,
        ...figures,
        "edge, accuracy": mean(({ gates, confidence }) => gates.accuracy - confidence.accuracy),
        "edge, ECE": mean(({ gates, confidence }) => gates.ece - confidence.ece),
        "cost, weight 2 − weight 0": sets.at(-1)!.gates.cost - sets[0]!.gates.cost,
      };
    }),
});
