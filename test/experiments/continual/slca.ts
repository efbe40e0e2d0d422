import { runScript } from "../../support/command.ts";
import { inLab, type Lab } from "../curriculum-lab.ts";
import { experimentOf } from "../experiment.ts";
import { SIDE, squares } from "../grey-squares.ts";

const [CLASSES, BEFORE, TASKS] = [10, 40, 5];
const CONFIG = {
  ...{ model_type: "vit", image_size: SIDE, patch_size: 3, num_channels: 1, num_labels: CLASSES + BEFORE },
  ...{ hidden_size: 32, num_hidden_layers: 1, num_attention_heads: 2, intermediate_size: 64, initializer_range: 0.2 },
};
const NAMES = Array.from({ length: TASKS }, (_, task) => `task-${task}`);

/** What is run, by its name in the figures. */
const RUNS = {
  "ρ 1": "--backbone-rate 1 --align-epochs 0",
  "ρ 0.01": "--align-epochs 0",
  "ρ 0.01, aligned": "",
  "ρ 0.01, symmetric, aligned": "--reverse-weight 1",
} as const;
type Name = keyof typeof RUNS;

async function ran(lab: Lab, script: string, line: string): Promise<string> {
  const { code, text, err } = await runScript(script, line.trim().split(" "), lab.folder);
  if (code !== 0) throw new Error(`${script} ${line}\n${err}`);
  return text;
}

export const experiment = experimentOf({
  title: "`slca` on a small vision transformer",
  about: `A vision transformer of one layer learns ${BEFORE} classes of images: nine squares of 3 x 3 pixels with greys of their own, 40 noisy rows a
class. Then come ${CLASSES} others in ${TASKS} tasks of two, 40 rows a class, ten epochs of 10 rows a step with SGD: the whole backbone at the rate
of the head (*ρ 1*), at a hundredth of it, and with the head aligned on samples of the classes' Gaussians; *symmetric* adds the reverse
cross-entropy of SLCA++. Accuracy among the classes so far, on 20 other rows of each, after the last task. The paper has this order.`,
  seeds: [1, 2, 3],
  tested: 1,
  long: true,
  figures: {
    "ρ 1: accuracy": {},
    "ρ 0.01: accuracy": {},
    "ρ 0.01, aligned: accuracy": {},
    "ρ 0.01, symmetric, aligned: accuracy": {},
    "ρ 0.01 − ρ 1": { above: 0 },
    "aligned − ρ 0.01": { above: 0 },
  },
  run: (seed) =>
    inLab(async (lab) => {
      const before = Array.from({ length: BEFORE }, (_, i) => CLASSES + i);
      lab.rows("before", squares(seed, before, 40, 0));
      for (const [task, name] of NAMES.entries()) {
        const own = [2 * task, 2 * task + 1];
        lab.rows(name, squares(seed, own, 40, 0));
        lab.rows(`${name}-held`, squares(seed, own, 20, 500));
      }
      const pretrain = `${lab.fresh(CONFIG)} --data before.jsonl --epochs 12 --batch-size 20 --lr 5e-3 --seed ${seed}`;
      await ran(lab, "train", `${pretrain} --save-every 0 -q -o base.safetensors`);
      const files = `--tasks ${NAMES.map((name) => `${name}.jsonl`).join(",")}`;
      const held = `--eval-tasks ${NAMES.map((name) => `${name}=${name}-held.jsonl`).join(",")}`;
      const training = "--epochs 10 --batch-size 10 --optimizer sgd --lr 0.03 --weight-decay 5e-4 --scenario class";
      const accuracy = async (name: Name): Promise<number> => {
        const run = `--method slca --seed ${seed} --save-every 0 --json -q --overwrite -o out.safetensors ${RUNS[name]}`;
        const text = await ran(lab, "adapt", `base.safetensors ${files} ${held} ${training} ${run}`);
        return (JSON.parse(text) as { metrics: { accuracy: { average: number } } }).metrics.accuracy.average;
      };
      const [fast, slow] = [await accuracy("ρ 1"), await accuracy("ρ 0.01")];
      const [aligned, symmetric] = [await accuracy("ρ 0.01, aligned"), await accuracy("ρ 0.01, symmetric, aligned")];
      return {
        "ρ 1: accuracy": fast,
        "ρ 0.01: accuracy": slow,
        "ρ 0.01, aligned: accuracy": aligned,
        "ρ 0.01, symmetric, aligned: accuracy": symmetric,
        "ρ 0.01 − ρ 1": slow - fast,
        "aligned − ρ 0.01": aligned - slow,
      };
    }),
});
