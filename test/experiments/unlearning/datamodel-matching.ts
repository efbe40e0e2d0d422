import { inLab } from "../curriculum-lab.ts";
import type { Bound, Experiment } from "../experiment.ts";

const MODELS = 20;
const [ALL, GONE] = [200, 20];
const ROWS = ["do nothing", "gradient ascent", "datamodel matching", "oracle matching", "retrained again"] as const;
const GROUPS = ["forget", "retain", "test"] as const;
const COLUMNS = GROUPS.flatMap((group) => [group, `${group}, 95 %`]);

const bounds: Readonly<Record<string, Bound>> = {
  "do nothing: forget": { above: 5.5 },
  "gradient ascent: forget": { above: 3.6 },
  "datamodel matching: forget": { below: 3.9 },
  "oracle matching: forget": { below: 3.5 },
};

interface Klom {
  readonly groups: readonly {
    readonly group: string;
    readonly klom: { readonly mean: number; readonly p95: number };
    readonly floor: { readonly mean: number; readonly p95: number };
  }[];
}

export const experiment: Experiment = {
  title: "Matching what models without the rows would say, by KLoM",
  about: `Clouds of four classes in 8 dimensions that overlap, 200 rows, a perceptron of 32 hidden units, trained from ${MODELS} starts. The 20 rows to be
forgotten are of one class. KLoM of the margins of ${MODELS} unlearned models and ${MODELS} that were trained without the rows; the last row is that of
${MODELS} others that were trained without them: no method is expected below it, and few models make it large. Datamodels are of 60 models on halves of
ten blocks, of which the rows to be forgotten are one; *oracle matching* matches a retrained model each, of another start.`,
  columns: COLUMNS,
  seeds: [1, 2, 3],
  tested: 1,
  long: true,
  figures: Object.fromEntries(
    ROWS.flatMap((row) => COLUMNS.map((column) => [`${row}: ${column}`, bounds[`${row}: ${column}`] ?? {}])),
  ),
  run: (seed) =>
    inLab(async (lab) => {
      const rowsOf = async (split: string, size: number) =>
        (
          await lab.script(
            "data",
            `blobs --classes 4 --dims 8 --separation 2 --split ${split} --size ${size} --seed ${seed}`,
          )
        )
          .trim()
          .split("\n")
          .map((line) => JSON.parse(line) as { label: number });
      const all = await rowsOf("train", ALL);
      const gone = all.filter(({ label }) => label === 3).slice(0, GONE);
      lab.rows("gone", gone);
      lab.rows(
        "left",
        all.filter((row) => !gone.includes(row)),
      );
      lab.rows("new", await rowsOf("test", 100));
      const start = lab.fresh({ model_type: "mlp", input_size: 8, hidden_sizes: [32], num_labels: 4 });
      const how = "--epochs 20 --batch-size 32 --lr 1e-2";
      const train = (data: string, own: number, out: string) =>
        lab.script(
          "train",
          `${start} ${data} ${how} --schedule constant --warmup 0 --seed ${own} --save-every 0 -o ${out}/`,
        );
      const whole = "--data gone.jsonl --data left.jsonl";
      const sets = "--forget gone.jsonl --retain left.jsonl --batch-size 20 --save-every 0";
      const match = "--steps 100 --lr 2e-3";
      for (let i = 0; i < MODELS; i++) {
        const own = 100 * seed + i;
        await train(whole, own, `model-${i}`);
        await train("--data left.jsonl", own + 30, `gold-${i}`);
        await train("--data left.jsonl", own + 60, `again-${i}`);
        const effects = i === 0 ? `--block 20 --models 60 ${how} --seed ${1000 * seed}` : "--effects effects-0";
        await lab.script("unlearn", `attribute model-${i} ${whole} ${effects} -o effects-${i}`);
        const oracle = `--attribution oracle --forget gone.jsonl --models 1 ${how} --seed ${own + 90}`;
        await lab.script("unlearn", `attribute model-${i} ${whole} ${oracle} -o oracle-${i}`);
        for (const by of ["effects", "oracle"])
          await lab.script(
            "unlearn",
            `model-${i} --method dmm --attributions ${by}-${i} ${sets} ${match} --seed ${own} -o by-${by}-${i}/`,
          );
        await lab.script(
          "unlearn",
          `model-${i} --method grad-ascent --forget gone.jsonl --batch-size 20 --steps 10 --lr 2e-3 --save-every 0 --seed ${own} -o ascended-${i}/`,
        );
      }
      const list = (flag: string, name: string) =>
        Array.from({ length: MODELS }, (_, i) => `--${flag} ${name}-${i}/`).join(" ");
      const figures: Record<string, number> = {};
      for (const [row, name] of [
        ["do nothing", "model"],
        ["gradient ascent", "ascended"],
        ["datamodel matching", "by-effects"],
        ["oracle matching", "by-oracle"],
      ]) {
        const { groups } = JSON.parse(
          await lab.script(
            "evaluate",
            `klom ${list("unlearned", name!)} ${list("retrained", "gold")} ${list("again", "again")} --data forget=gone.jsonl --data retain=left.jsonl --data test=new.jsonl --json`,
          ),
        ) as Klom;
        for (const { group, klom, floor } of groups) {
          figures[`${row}: ${group}`] = klom.mean;
          figures[`${row}: ${group}, 95 %`] = klom.p95;
          figures[`retrained again: ${group}`] = floor.mean;
          figures[`retrained again: ${group}, 95 %`] = floor.p95;
        }
      }
      return figures;
    }),
};
