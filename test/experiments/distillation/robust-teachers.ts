import { AttackedDigits, pgd, SIDE } from "../attacked-digits.ts";
import { inLab } from "../curriculum-lab.ts";
import type { Bound, Experiment } from "../experiment.ts";

const [TEACHING, LEARNING] = [400, 400] as const;
const BALANCED = "--teacher clean/ --teacher robust/ --method mtard";
const STUDENTS = {
  "student of the clean teacher": "--teacher clean/ --method kd",
  "student of the robust teacher, moved rows": `--teacher robust/ --method kd --adversarial ${pgd(5)}`,
  "of both, rows as they are (mtard)": BALANCED,
  "of both, weights of a half": `${BALANCED} --balance none --adversarial ${pgd(5)}`,
  "of both, balanced (mtard)": `${BALANCED} --adversarial ${pgd(5)}`,
} as const;
const COLUMNS = ["accuracy", "attacked", "mean"] as const;

const bounds: Readonly<Record<string, Bound>> = {
  "mtard − student of the clean teacher: mean": { above: 0.05 },
  "mtard − student of the robust teacher: mean": { above: 0.02 },
  "mtard − weights of a half: mean": {},
};

export const experiment: Experiment = {
  title: "`mtard --adversarial`: a clean and a robust teacher",
  about: `Rendered digits of ${SIDE} × ${SIDE} pixels, 2000 to learn and 500 held out; an attack moves every pixel by up to 0.15 within 0 to 1, in 5 steps while
teachers and students learn and in 20 in the test. Teachers are perceptrons of 96 units, ${TEACHING} steps of 50 rows on rows as they are, and on moved ones; students
have 32 units, ${LEARNING} steps of 50 rows and no labels. *Mean* is that of both accuracies. Two teachers are
better than either; balancing them adds nothing to weights of a half here.`,
  columns: COLUMNS,
  seeds: [1, 2, 3],
  tested: 1,
  long: true,
  figures: Object.fromEntries(
    [
      ...["clean teacher", "robust teacher", ...Object.keys(STUDENTS)].flatMap((row) =>
        COLUMNS.map((column) => `${row}: ${column}`),
      ),
      ...Object.keys(bounds),
    ].map((name) => [name, bounds[name] ?? {}]),
  ),
  run: (seed) =>
    inLab(async (lab) => {
      const bed = new AttackedDigits(lab.folder);
      await bed.digits("train.jsonl", seed, 2000, "train");
      await bed.digits("test.jsonl", seed, 500, "test");
      const net = (units: number) => ({
        ...{ model_type: "mlp", input_size: SIDE ** 2, num_labels: 10 },
        hidden_sizes: [units],
      });
      const [large, small] = [lab.fresh(net(96), "large"), lab.fresh(net(32), "small")];
      const figures: Record<string, number> = {};
      const judge = async (name: string, model: string) => {
        const [judged] = (await bed.judged(model, "--data test.jsonl")).values();
        const { clean, attacked } = judged!;
        figures[`${name}: accuracy`] = clean;
        figures[`${name}: attacked`] = attacked;
        figures[`${name}: mean`] = (clean + attacked) / 2;
      };
      const common = `--data train.jsonl --batch-size 50 --lr 5e-3 --seed ${seed} --save-every 0 --overwrite`;
      await bed.run("train", `${large} ${common} --steps ${TEACHING} -o clean/`);
      await bed.run("train", `${large} ${common} --steps ${TEACHING} --adversarial ${pgd(5)} -o robust/`);
      await judge("clean teacher", "clean/");
      await judge("robust teacher", "robust/");
      for (const [name, options] of Object.entries(STUDENTS)) {
        await bed.run("distill", `${small} ${common} --steps ${LEARNING} ${options} -o student/`);
        await judge(name, "student/");
      }
      const mean = (name: string) => figures[`${name}: mean`]!;
      const own = mean("of both, balanced (mtard)");
      return {
        ...figures,
        "mtard − student of the clean teacher: mean": own - mean("student of the clean teacher"),
        "mtard − student of the robust teacher: mean": own - mean("student of the robust teacher, moved rows"),
        "mtard − weights of a half: mean": own - mean("of both, weights of a half"),
      };
    }),
};
