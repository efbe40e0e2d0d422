import { method as clusters } from "../../../src/data/tasks/blobs.ts";
import { settingsOf } from "../../distill/rows.ts";
import { inLab } from "../curriculum-lab.ts";
import { type Bound, experimentOf } from "../experiment.ts";

const [WIDTH, CLASSES, ROWS, TEST] = [16, 12, 400, 2000] as const;
const STUDENTS = {
  labels: "train --loss ce",
  kd: "distill --method kd --temperature 4 --label-weight 1",
  "logits of one head (output-mse)": "distill --method output-mse --label-weight 1",
  "second head, linear": "distill --method dual-head",
  "second head, linear, aligned": "distill --method dual-head --grad-align",
  "second head, mlp": "distill --method dual-head --aux-head mlp",
  "second head, mlp, aligned": "distill --method dual-head --aux-head mlp --grad-align",
} as const;
const bounds: Readonly<Record<string, Bound>> = {
  "mlp, aligned − labels": { above: 0 },
  "mlp, aligned − kd": {},
  "mlp, aligned − logits of one head": {},
};

export const experiment = experimentOf({
  title: "`dual-head`: a loss of logits through a second head",
  about: `${CLASSES} clouds in ${WIDTH} dimensions that overlap, ${ROWS} rows to learn; accuracy on ${TEST}. The teacher is a perceptron of 128 and 128 units that learnt
4000 rows, students have 16 units and 600 steps of 50 rows. Every
student is better than one of labels alone; against the paper, plain KL and logits through the one head are better than a second head here.`,
  seeds: [1, 2, 3],
  tested: 1,
  long: true,
  figures: Object.fromEntries(
    ["teacher", ...Object.keys(STUDENTS), ...Object.keys(bounds)].map((name) => [name, bounds[name] ?? {}]),
  ),
  run: (seed) =>
    inLab(async (lab) => {
      const rows = (split: "train" | "test", count: number) => {
        const asked = { dims: WIDTH, classes: CLASSES, separation: 3 };
        const source = clusters.open({ seed, split }, settingsOf(clusters.options, asked) as never);
        return Array.from({ length: count }, (_, i) => source.row(i));
      };
      lab.rows("many", rows("train", 4000));
      lab.rows("few", rows("train", ROWS));
      lab.rows("test", rows("test", TEST));
      const net = (sizes: readonly number[], name: string) =>
        lab.fresh({ model_type: "mlp", input_size: WIDTH, hidden_sizes: sizes, num_labels: CLASSES }, name);
      const [large, small] = [net([128, 128], "large"), net([16], "small")];
      const asked = `--batch-size 50 --lr 5e-3 --weight-decay 0 --seed ${seed} --save-every 0 --overwrite`;
      const figures: Record<string, number> = {};
      const judge = async (name: string, model: string) => {
        const text = await lab.script("evaluate", `${model} --data test.jsonl --metric accuracy --json`);
        figures[name] = (JSON.parse(text) as { accuracy: number }).accuracy;
      };
      await lab.script("train", `${large} --data many.jsonl ${asked} --steps 600 -o teacher/`);
      await judge("teacher", "teacher/");
      for (const [name, line] of Object.entries(STUDENTS)) {
        const [script, ...options] = line.split(" ");
        const taught = script === "distill" ? "--teacher teacher/" : "";
        const own = `${small} ${taught} --data few.jsonl ${asked} ${options.join(" ")}`;
        await lab.script(script!, `${own} --steps 600 -o student/`);
        await judge(name, "student/");
      }
      const own = figures["second head, mlp, aligned"]!;
      return {
        ...figures,
        "mlp, aligned − labels": own - figures.labels!,
        "mlp, aligned − kd": own - figures.kd!,
        "mlp, aligned − logits of one head": own - figures["logits of one head (output-mse)"]!,
      };
    }),
});
