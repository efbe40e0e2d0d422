import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { drawnBlocks } from "../../../src/unlearn/attribution/datamodel.ts";
import { type Attribution, readAttribution } from "../../../src/unlearn/attribution/file.ts";
import { inLab } from "../curriculum-lab.ts";
import { experimentOf } from "../experiment.ts";

const [ROWS, POINTS, HALVES] = [200, 60, 20];

/** The label's logit less the logsumexp of the others. */
function margin(logits: ArrayLike<number>, label: number): number {
  const others = Array.from(logits).filter((_, c) => c !== label);
  const most = Math.max(...others);
  return logits[label]! - most - Math.log(others.reduce((sum, z) => sum + Math.exp(z - most), 0));
}

/** Ranks of values; equal ones share theirs. */
const ranks = (values: readonly number[]): number[] =>
  values.map((x) => values.filter((y) => y < x).length + values.filter((y) => y === x).length / 2);

function correlation(a: readonly number[], b: readonly number[]): number {
  const [x, y] = [a, b].map((values) => {
    const own = ranks(values);
    const mean = own.reduce((sum, r) => sum + r, 0) / own.length;
    return own.map((r) => r - mean);
  });
  const dot = (p: readonly number[], q: readonly number[]) => p.reduce((sum, r, i) => sum + r * q[i]!, 0);
  return dot(x!, y!) / Math.sqrt(dot(x!, x!) * dot(y!, y!) || 1);
}

const WAYS = {
  "datamodel of 40 models": "--attribution datamodel --models 40",
  "trak, the model alone": "--attribution trak --models 1",
  "trak, 5 models": "--attribution trak --models 5",
} as const;

export const experiment = experimentOf({
  title: "`unlearn attribute`: what is foretold of models of half the rows",
  about: `Clouds of four classes in 8 dimensions that overlap, ${ROWS} rows, a perceptron of 16 hidden units. For ${HALVES} random halves two models each are trained
without them; the figure is the rank correlation, over the halves, of the mean margin of these and of what is foretold, in the mean over ${POINTS} new
points (the linear datamodeling score). *Trained again* is that of two other models of the same halves, which nothing is expected to pass by
much. Gradients of five models are ahead of one model's, and of a datamodel of 40, which is few: it was trained on one block a row.`,
  seeds: [1, 2, 3],
  tested: 1,
  long: true,
  figures: {
    "trained again": {},
    ...Object.fromEntries(Object.keys(WAYS).map((way) => [way, {}])),
    "trak, 5 models": { above: 0.25 },
  },
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
      const all = await rowsOf("train", ROWS);
      const points = await rowsOf("test", POINTS);
      lab.rows("all", all);
      lab.rows("new", points);
      const start = lab.fresh({ model_type: "mlp", input_size: 8, hidden_sizes: [16], num_labels: 4 });
      const how = "--epochs 20 --batch-size 32 --lr 1e-2";
      await lab.script(
        "train",
        `${start} --data all.jsonl ${how} --schedule constant --warmup 0 --seed ${seed} --save-every 0 -o model/`,
      );
      const attribute = async (line: string, own: number): Promise<Attribution> => {
        await lab.script(
          "unlearn",
          `attribute model --data all.jsonl --points new.jsonl ${line} ${how} --seed ${own} --overwrite -o found`,
        );
        return readAttribution(join(lab.folder, "found"));
      };
      const found: [string, Attribution][] = [];
      for (const [way, line] of Object.entries(WAYS)) found.push([way, await attribute(line, 1000 * seed)]);
      const said: Record<string, number[][]> = {};
      const say = (way: string, logits: Float32Array) => {
        said[way] ??= [];
        said[way].push(
          points.map(({ label }, p) => margin(logits.subarray(4 * (ROWS + p), 4 * (ROWS + p + 1)), label)),
        );
      };
      for (let half = 0; half < HALVES; half++) {
        const gone = drawnBlocks(ROWS, 0.5, seed + 77, half);
        writeFileSync(
          join(lab.folder, "gone.jsonl"),
          all.flatMap((row, i) => (gone[i] ? `${JSON.stringify(row)}\n` : [])).join(""),
        );
        for (const [name, own] of [
          ["truth", 5000],
          ["trained again", 9000],
        ] as const) {
          const oracle = await attribute("--attribution oracle --forget gone.jsonl --models 2", own + 10 * half);
          if (oracle.of.kind === "forget") say(name, oracle.of.without);
        }
        for (const [way, { of, outputs }] of found) {
          if (of.kind !== "rows") throw new Error(`${way} is of rows`);
          const left = outputs.slice();
          for (let i = 0; i < ROWS; i++)
            if (gone[i]) for (let at = 0; at < left.length; at++) left[at]! -= of.effects[i * left.length + at]!;
          say(way, left);
        }
      }
      const over = (way: string, p: number) => said[way]!.map((margins) => margins[p]!);
      return Object.fromEntries(
        ["trained again", ...Object.keys(WAYS)].map((way) => [
          way,
          points.reduce((sum, _, p) => sum + correlation(over(way, p), over("truth", p)), 0) / POINTS,
        ]),
      );
    }),
});
