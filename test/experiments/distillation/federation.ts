import { method as blobs } from "../../../src/data/tasks/blobs.ts";
import { settingsOf } from "../../distill/rows.ts";
import { inLab } from "../curriculum-lab.ts";
import { type Bound, experimentOf } from "../experiment.ts";

const [WIDTH, CLASSES, ROWS, TEST] = [12, 8, 24, 400] as const;
const CLIENTS = ["a", "b", "c", "d"] as const;
const RUNS = {
  alone: "--tap-weight 0",
  "taps stay": "--drop-rate 0",
  "taps leave": "",
} as const;
const bounds: Readonly<Record<string, Bound>> = {
  "taps leave − alone: own classes": {},
  "taps leave − merged: own classes": { above: 0.1 },
};

export const experiment = experimentOf({
  title: "`fedd2s`: clients that share class means",
  about: `${CLASSES} clouds in ${WIDTH} dimensions that overlap. Four clients have ${ROWS} rows each, of two classes of their own but for every sixth row, which is of another class.
Perceptrons of 32, 32 and 32 units, 10 rounds of 20 steps of 8 rows. Accuracy on ${TEST} held-out rows of a client's own classes and on all classes, means over
the clients; *merged* is the mean of the weights of those that learnt alone. Shared means cost
clients accuracy on their own classes here, against the paper; they stay far ahead of merged weights there.`,
  seeds: [1, 2, 3],
  tested: 1,
  long: true,
  figures: Object.fromEntries(
    [
      ...[...Object.keys(RUNS), "merged"].flatMap((name) => [`${name}: own classes`, `${name}: all classes`]),
      ...Object.keys(bounds),
    ].map((name) => [name, bounds[name] ?? {}]),
  ),
  run: (seed) =>
    inLab(async (lab) => {
      const rows = (split: "train" | "test") => {
        const options = settingsOf(blobs.options, { dims: WIDTH, classes: CLASSES, separation: 2.5 });
        const source = blobs.open({ seed, split }, options as never);
        return Array.from({ length: split === "test" ? 4 * TEST : 40 * ROWS }, (_, i) => source.row(i));
      };
      const [learnt, held] = [rows("train"), rows("test")];
      const isOwn = (client: number, label: unknown) => Math.floor(Number(label) / 2) === client;
      for (const [i, name] of CLIENTS.entries()) {
        const part = learnt.slice(10 * ROWS * i, 10 * ROWS * (i + 1));
        const own = part.filter(({ label }) => isOwn(i, label)).slice(0, (5 * ROWS) / 6);
        lab.rows(name, [...own, ...part.filter(({ label }) => !isOwn(i, label)).slice(0, ROWS / 6)]);
        lab.rows(`own-${name}`, held.filter(({ label }) => isOwn(i, label)).slice(0, TEST));
      }
      lab.rows("all", held.slice(0, TEST));
      const net = { model_type: "mlp", input_size: WIDTH, hidden_sizes: [32, 32, 32], num_labels: CLASSES };
      const start = lab.fresh(net);
      const data = CLIENTS.map((name) => `--data ${name}=${name}.jsonl`).join(" ");
      const figures: Record<string, number> = {};
      const accuracy = async (model: string, file: string) => {
        const text = await lab.script("evaluate", `${model} --data ${file}.jsonl --metric accuracy --json`);
        return (JSON.parse(text) as { accuracy: number }).accuracy;
      };
      const judge = async (run: string, modelOf: (name: string) => string) => {
        for (const [what, fileOf] of [
          ["own classes", (name: string) => `own-${name}`],
          ["all classes", () => "all"],
        ] as const) {
          let sum = 0;
          for (const name of CLIENTS) sum += await accuracy(modelOf(name), fileOf(name));
          figures[`${run}: ${what}`] = sum / CLIENTS.length;
        }
      };
      for (const [run, options] of Object.entries(RUNS)) {
        const folder = run.replace(" ", "-");
        await lab.script(
          "distill",
          `fedd2s ${start} ${data} --batch-size 8 --lr 5e-3 --rounds 10 --round-steps 20 --seed ${seed} ${options} -o ${folder}`,
        );
        await judge(run, (name) => `${folder}/${name}/`);
      }
      await lab.script("merge", `${CLIENTS.map((name) => `alone/${name}/`).join(" ")} --method linear -o merged/`);
      await judge("merged", () => "merged/");
      const own = figures["taps leave: own classes"]!;
      return {
        ...figures,
        "taps leave − alone: own classes": own - figures["alone: own classes"]!,
        "taps leave − merged: own classes": own - figures["merged: own classes"]!,
      };
    }),
});
