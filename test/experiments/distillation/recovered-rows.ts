import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { inLab } from "../curriculum-lab.ts";
import type { Bound, Experiment } from "../experiment.ts";
import { normal } from "../support.ts";

const STUDENTS = [101, 102] as const;
const CDA = {
  "views fall by a cosine": "--kappa 1",
  "by a line": "--kappa 1 --course linear",
  "by a step at the half": "--kappa 0.5 --course step",
  "small from the start (kappa 0, SRe2L)": "--kappa 0",
  "without statistics (r = 0)": "--gap-weight 0",
} as const;
const COLUMNS = ["students", "recognised"] as const;
const ROWS = ["teacher", "real rows", "noise", ...Object.keys(CDA)] as const;

const bounds: Readonly<Record<string, Bound>> = {
  "cosine − noise: students": { above: 0.05 },
  "cosine − without statistics: students": { above: 0.03 },
  "cosine − small from the start: students": {},
};

export const experiment: Experiment = {
  title: "`distill --target data --method cda`: rows of a model alone",
  about: `A perceptron with batch norms learns 1000 rendered digits of 8 × 8 pixels; of it alone 10 rows of each class are made, with 4 parts
of each. Under *students* stands the mean accuracy on 1000 held-out digits of two perceptrons of 32 units that learn what the teacher says of these
rows (kd, 300 steps), under *recognised* the share of rows, parts left out, of whose class the teacher is. Noise is 500 rows from a normal
distribution, real rows 100 of those that the teacher learnt.`,
  columns: COLUMNS,
  seeds: [1, 2, 3],
  tested: 1,
  long: true,
  figures: Object.fromEntries(
    [...ROWS.flatMap((row) => COLUMNS.map((column) => `${row}: ${column}`)), ...Object.keys(bounds)].map((name) => [
      name,
      bounds[name] ?? {},
    ]),
  ),
  run: (seed) =>
    inLab(async (lab) => {
      const digits = "glyphs --canvas 8 --shift 0 --rotation 20 --noise 0.4";
      await lab.script("data", `${digits} --size 1000 --seed ${seed} -o real.jsonl`);
      await lab.script("data", `${digits} --size 100 --seed ${seed} -o few.jsonl`);
      await lab.script("data", `${digits} --size 1000 --seed ${seed} --split test -o test.jsonl`);
      const net = { model_type: "mlp", input_size: 64, num_labels: 10 };
      const large = lab.fresh({ ...net, hidden_sizes: [64, 32], hidden_norm: "batch" }, "large");
      const small = lab.fresh({ ...net, hidden_sizes: [32] }, "small");
      const next = normal(seed);
      const noise = Array.from({ length: 500 }, (_, i) =>
        JSON.stringify({ x: Array.from({ length: 64 }, next), label: i % 10 }),
      );
      writeFileSync(join(lab.folder, "noise.jsonl"), `${noise.join("\n")}\n`);
      const learning = "--batch-size 100 --steps 300 --lr 5e-3 --save-every 0 --overwrite";
      const accuracy = async (model: string) => {
        const text = await lab.script("evaluate", `${model} --data test.jsonl --metric accuracy --json`);
        return (JSON.parse(text) as { accuracy: number }).accuracy;
      };
      const taught = async (rows: string) => {
        let sum = 0;
        for (const start of STUDENTS) {
          await lab.script(
            "distill",
            `--teacher teacher/ ${small} --method kd --data ${rows} ${learning} --seed ${start} -o student/`,
          );
          sum += await accuracy("student/");
        }
        return sum / STUDENTS.length;
      };
      await lab.script("train", `${large} --data real.jsonl ${learning} --seed ${seed} -o teacher/`);
      const figures: Record<string, number> = { "teacher: students": await accuracy("teacher/") };
      figures["real rows: students"] = await taught("few.jsonl");
      figures["noise: students"] = await taught("noise.jsonl");
      for (const [name, options] of Object.entries(CDA)) {
        const made = `--shape 1,8,8 --no-flip --views 4 --steps 300 --seed ${seed} ${options}`;
        const text = await lab.script("distill", `--target data --method cda teacher/ ${made} --json -o made.jsonl`);
        figures[`${name}: recognised`] = (JSON.parse(text) as { recognised: number }).recognised;
        figures[`${name}: students`] = await taught("made.jsonl");
      }
      const of = (name: string) => figures[`${name}: students`]!;
      const own = of("views fall by a cosine");
      return {
        ...figures,
        "cosine − noise: students": own - of("noise"),
        "cosine − without statistics: students": own - of("without statistics (r = 0)"),
        "cosine − small from the start: students": own - of("small from the start (kappa 0, SRe2L)"),
      };
    }),
};
