import { runScript } from "../../support/command.ts";
import { inLab } from "../curriculum-lab.ts";
import { experimentOf } from "../experiment.ts";

const CONFIG = { model_type: "mlp", input_size: 100, hidden_sizes: [64, 32], num_labels: 10 };
const FILES =
  "--tasks stream/task-0.jsonl,stream/task-1.jsonl --eval-tasks stream/test/task-0.jsonl,stream/test/task-1.jsonl";
/** 100 old rows among 1000 new ones. */
const LWF = "--method lwf --buffer 100 --buffer-policy ring --replay-ratio 0.0909 --scenario class";
/** As in the paper: SGD with decay, for long, and a head without biases. */
const PAPER = "--epochs 40 --batch-size 20 --optimizer sgd --lr 0.03 --weight-decay 3e-3 --freeze classifier.bias";
const SHORT = "--epochs 10 --batch-size 20 --lr 3e-3";

export const experiment = experimentOf({
  title: "Weight aligning after `lwf`",
  about: `Digits 0 to 4, then 5 to 9: 1000 rows of 10 x 10 pixels a task, moved by a pixel and noisy, of which 20 of each old class are kept; a
perceptron with hidden layers of 64 and 32. \`--align-head\` scales the head's rows of the new classes to the mean length of the old ones. It
has work to do where these lengths differ: after many steps with weight decay, and without biases, which it leaves alone (*paper*: SGD, 40
epochs, decay 0.003, \`--freeze classifier.bias\`). *Short* is AdamW for ten epochs with biases. Accuracy among all ten classes after both
tasks, on 200 other rows of each.`,
  seeds: [1, 2, 3],
  tested: 1,
  long: true,
  figures: {
    "paper: old": {},
    "paper: new": {},
    "paper, aligned: old": {},
    "paper, aligned: new": {},
    "short: old": {},
    "short: new": {},
    "short, aligned: old": {},
    "short, aligned: new": {},
    "paper, aligned − paper, old": { above: 0 },
    "paper, aligned − paper, mean": { above: 0 },
    "short, aligned − short, mean": {},
  },
  run: (seed) =>
    inLab(async (lab) => {
      const ran = async (script: string, line: string) => {
        const { code, text, err } = await runScript(script, line.split(" "), lab.folder);
        if (code !== 0) throw new Error(`${script} ${line}\n${err}`);
        return text;
      };
      const glyphs = "glyphs --canvas 10 --shift 1 --noise 0.4 --stream digits=01234,56789 --size 1000";
      await ran("data", `${glyphs} --seed ${seed} -q -o stream`);
      const fresh = lab.fresh(CONFIG);
      const accuracy = async (options: string): Promise<[old: number, fresh: number]> => {
        const run = `${fresh} ${FILES} ${LWF} --seed ${seed} --save-every 0 --json -q --overwrite -o out.safetensors`;
        const { after } = JSON.parse(await ran("adapt", `${run} ${options}`)) as { after: { accuracy: number[][] } };
        return after.accuracy[1] as [number, number];
      };
      const [paper, aligned] = [await accuracy(PAPER), await accuracy(`${PAPER} --align-head`)];
      const [short, shortAligned] = [await accuracy(SHORT), await accuracy(`${SHORT} --align-head`)];
      const mean = ([a, b]: readonly [number, number]) => (a + b) / 2;
      return {
        "paper: old": paper[0],
        "paper: new": paper[1],
        "paper, aligned: old": aligned[0],
        "paper, aligned: new": aligned[1],
        "short: old": short[0],
        "short: new": short[1],
        "short, aligned: old": shortAligned[0],
        "short, aligned: new": shortAligned[1],
        "paper, aligned − paper, old": aligned[0] - paper[0],
        "paper, aligned − paper, mean": mean(aligned) - mean(paper),
        "short, aligned − short, mean": mean(shortAligned) - mean(short),
      };
    }),
});
