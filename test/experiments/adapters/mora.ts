import { inLab } from "../curriculum-lab.ts";
import { experimentOf } from "../experiment.ts";
import { normal } from "../support.ts";

const [TASKS, OWN, CLASSES] = [3, 8, 4];

/** Rows of a task: numbers in directions of its own, a class by the largest of some random sums of them. */
function rowsOf(seed: number, task: number, count: number, first: number) {
  const table = normal(1000 * seed + task);
  const sums = Array.from({ length: CLASSES }, () => Array.from({ length: OWN }, table));
  const draw = normal(77_000 * seed + 1000 * task + first);
  return Array.from({ length: count }, () => {
    const own = Array.from({ length: OWN }, draw);
    const x = Array.from({ length: TASKS * OWN }, (_, i) =>
      Number((Math.floor(i / OWN) === task ? own[i % OWN]! : 0.1 * draw()).toFixed(4)),
    );
    const scores = sums.map((weights) => weights.reduce((sum, w, i) => sum + w * own[i]!, 0));
    return { x, label: scores.indexOf(Math.max(...scores)) };
  });
}

/** Rows of the table, and what each run is. `parts`: LoRA whose ranks are divided between the tasks, and add up. */
const RUNS = {
  "summed LoRA": "--method olora --lambda 0 --lora --lora-rank 12 --lora-alpha 12 --lora-targets layers.0",
  mora: "--method mora --adapter mora --adapter-rank 12 --adapter-alpha 12 --mora-active 4 --adapter-targets layers.0",
  "mora, all ranks alike":
    "--method mora --adapter mora --adapter-rank 12 --adapter-alpha 12 --mora-active 12 --mora-temperature 1e9 --mora-threshold -1 --adapter-targets layers.0",
} as const;

export const experiment = experimentOf({
  title: "`mora` beside LoRAs that add up",
  about: `Three tasks in a row, each of whose rows lie in eight of 24 directions of the input with a tenth of noise in the others: four classes
by random sums, 200 rows, eight epochs of 10 rows a step. An adapter of rank 12 on the first layer of a perceptron
of two hidden layers, four new ranks for each task; those of earlier tasks stay. *Summed LoRA*: all ranks act on every input at full strength.
\`mora\`: the four ranks that an input calls, with its defaults. Loss on 200 other rows after the third task. The first layer was chosen
after six settings of \`mora\` were tried on it, on seeds 1 and 2, so it is seed 3 alone that tells, and there \`mora\` is worse. On all
layers, whose inputs share their directions, it forgets more than summed LoRA (0.2 on the mean of these seeds). Ranks that all count
alike, each the less the more there are, forget less than both on every seed. So nothing is asserted.`,
  seeds: [1, 2, 3],
  tested: 1,
  long: true,
  figures: {
    ...Object.fromEntries(
      Object.keys(RUNS).flatMap((name) =>
        [`${name}: loss of the old tasks`, `${name}: loss of the last task`].map((one) => [one, {}]),
      ),
    ),
    "mora − summed LoRA, old tasks": {},
  },
  run: (seed) =>
    inLab(async (lab) => {
      const run = (script: string, line: string) =>
        lab.script(script, `${line} --seed ${seed} --batch-size 10 --save-every 0`);
      const names = ["a", "b", "c"];
      const files = names.map((name, task) => lab.rows(name, rowsOf(seed, task, 200, 0)));
      const held = names.map((name, task) => `${name}=${lab.rows(`${name}-held`, rowsOf(seed, task, 200, 500))}`);
      const before = lab.rows(
        "before",
        names.flatMap((_, task) => rowsOf(seed + 50, task, 60, 0)),
      );
      const net = { model_type: "mlp", input_size: TASKS * OWN, hidden_sizes: [32, 16], num_labels: CLASSES };
      await run("train", `${lab.fresh(net)} --data ${before} --epochs 4 --lr 1e-2 -o base/`);
      const figures: Record<string, number> = {};
      for (const [name, options] of Object.entries(RUNS)) {
        const tasks = `--tasks ${files.join(",")} --eval-tasks ${held.join(",")}`;
        const text = await run("adapt", `base/ ${tasks} ${options} --epochs 8 --lr 1e-2 --json --overwrite -o out/`);
        const [a, b, c] = (JSON.parse(text) as { after: { loss: number[][] } }).after.loss.at(-1)!;
        figures[`${name}: loss of the old tasks`] = (a! + b!) / 2;
        figures[`${name}: loss of the last task`] = c!;
      }
      figures["mora − summed LoRA, old tasks"] =
        figures["mora: loss of the old tasks"]! - figures["summed LoRA: loss of the old tasks"]!;
      return figures;
    }),
});
