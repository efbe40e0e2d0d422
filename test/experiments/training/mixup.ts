import { readFileSync } from "node:fs";
import { join } from "node:path";
import { inLab } from "../curriculum-lab.ts";
import type { Bound, Experiment } from "../experiment.ts";
import { normal, uniform } from "../support.ts";

const [CLASSES, WIDTH, TEST] = [6, 10, 1200];

/** Classes as clouds around random centres. */
function rowsOf(seed: number, count: number, first: number) {
  const centre = normal(1000 * seed);
  const centres = Array.from({ length: CLASSES }, () => Array.from({ length: WIDTH }, () => 0.9 * centre()));
  const draw = normal(77_000 * seed + first);
  const next = uniform(99_000 * seed + first);
  return Array.from({ length: count }, (_, i) => {
    const label = i % CLASSES;
    return [next(), { x: centres[label]!.map((c) => Number((c + draw()).toFixed(4))), label }] as const;
  })
    .sort(([a], [b]) => a - b)
    .map(([, row]) => row);
}

/** Learners of labels, with 240 and with 60 rows. */
const LABELS: Readonly<Record<string, string>> = {
  "no mixup": "",
  mixup: "--mixup 1 --mixup-at embedding",
  "mixup, half kept": "--mixup 1 --mixup-keep 0.5 --mixup-at embedding",
  "decoupled, eta 0.1": "--mixup 1 --mixup-at embedding --loss decoupled-mixup",
  "decoupled, eta 1": "--mixup 1 --mixup-at embedding --loss decoupled-mixup --mixup-eta 1",
};
/** Students of a teacher that learnt plain rows, or mixed ones. */
const STUDENTS: Readonly<Record<string, readonly [teacher: string, options: string]>> = {
  "plain teacher, no mixup": ["plain", ""],
  "plain teacher, half mixed": ["plain", "--mixup 1 --mixup-keep 0.5"],
  "plain teacher, all mixed": ["plain", "--mixup 1"],
  "mixup teacher, all mixed": ["mixed", "--mixup 1"],
};
const bounds: Readonly<Record<string, Bound>> = {
  "plain teacher: half mixed − no mixup": { above: 0.03 },
  "plain teacher: all mixed − no mixup": { above: 0.03 },
};

const names = [
  ...Object.keys(LABELS).flatMap((name) => [`${name}: 240 rows`, `${name}: 60 rows`]),
  ...Object.keys(STUDENTS).flatMap((name) => [`${name}: accuracy`, `${name}: teacher's certainty`]),
  ...Object.keys(bounds),
  "all mixed: plain − mixup teacher",
];

export const experiment: Experiment = {
  title: "Mixup with few rows, decoupled, and in distillation",
  about: `${CLASSES} clouds of unit variance in ${WIDTH} dimensions whose centres overlap; accuracy on ${TEST} rows. *Labels*: a perceptron of two hidden layers of
64, AdamW at 3e-3 without decay, 1200 steps of 60 rows. *Students*: one hidden layer of 16 learns 60 rows by \`mixkd\` from a perceptron of 64 and 64
that learnt 240 rows, with or without mixup; *certainty* is the teacher's mean largest probability on what the student reads.`,
  seeds: [1, 2, 3],
  tested: 1,
  long: true,
  figures: Object.fromEntries(names.map((name) => [name, bounds[name] ?? {}])),
  run: (seed) =>
    inLab(async (lab) => {
      const run = lab.script;
      const held = lab.rows("held", rowsOf(seed, TEST, 500));
      const data = { 240: lab.rows("many", rowsOf(seed, 240, 0)), 60: lab.rows("few", rowsOf(seed, 60, 0)) } as const;
      const net = (sizes: readonly number[]) => ({
        ...{ model_type: "mlp", input_size: WIDTH, hidden_sizes: sizes, num_labels: CLASSES },
      });
      const accuracy = async (model: string) => {
        const text = await run("evaluate", `${model}/ --data held=${held} --metric accuracy --json`);
        return (JSON.parse(text) as { rows: { value: number }[] }).rows[0]!.value;
      };
      const asked = `--steps 1200 --batch-size 60 --lr 3e-3 --weight-decay 0 --seed ${seed} --save-every 0 --overwrite`;
      const figures: Record<string, number> = {};
      for (const [name, options] of Object.entries(LABELS))
        for (const rows of [240, 60] as const) {
          const out =
            rows === 240 && name === "no mixup" ? "plain" : rows === 240 && name === "mixup" ? "mixed" : "out";
          await run("train", `${lab.fresh(net([64, 64]))} --data ${data[rows]} ${asked} ${options} -o ${out}/`);
          figures[`${name}: ${rows} rows`] = await accuracy(out);
        }
      for (const [name, [teacher, options]] of Object.entries(STUDENTS)) {
        const line = `--teacher ${teacher}/ ${lab.fresh(net([16]))} --data ${data[60]} --method mixkd --log student.log`;
        await run("distill", `${line} ${asked} ${options} -o out/`);
        figures[`${name}: accuracy`] = await accuracy("out");
        const steps: { teacher_confidence?: number }[] = readFileSync(join(lab.folder, "student.log"), "utf8")
          .trimEnd()
          .split("\n")
          .map((text) => JSON.parse(text));
        const found = steps.flatMap(({ teacher_confidence: value }) => (value === undefined ? [] : [value]));
        figures[`${name}: teacher's certainty`] = found.reduce((sum, value) => sum + value, 0) / found.length;
      }
      const of = (name: string) => figures[`${name}: accuracy`]!;
      for (const how of ["half mixed", "all mixed"])
        figures[`plain teacher: ${how} − no mixup`] = of(`plain teacher, ${how}`) - of("plain teacher, no mixup");
      figures["all mixed: plain − mixup teacher"] = of("plain teacher, all mixed") - of("mixup teacher, all mixed");
      return figures;
    }),
};
