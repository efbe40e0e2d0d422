import { readFileSync } from "node:fs";
import { join } from "node:path";
import { inLab } from "../curriculum-lab.ts";
import { experimentOf } from "../experiment.ts";
import { uniform } from "../support.ts";

const SIDE = 12;
const CONVNET = {
  ...{ model_type: "convnet", image_size: SIDE, num_channels: 1, num_labels: 2, head_pooling: "flatten" },
  layers: [
    { type: "conv", channels: 8, kernel_size: 3 },
    { type: "max_pool", kernel_size: 2 },
    { type: "conv", channels: 16, kernel_size: 3 },
    { type: "max_pool", kernel_size: 2 },
  ],
};

/** An arrow that points up or down, somewhere, in noise: to turn it over makes another class of it. */
function arrows(seed: number, count: number) {
  const next = uniform(seed);
  return Array.from({ length: count }, (_, i) => {
    const label = i % 2;
    const [row, column] = [4 + Math.floor(4 * next()), 4 + Math.floor(4 * next())];
    const image = Array.from({ length: SIDE }, (_, y) =>
      Array.from({ length: SIDE }, (_, x) => {
        const [dy, dx] = [label === 0 ? y - row : row - y, x - column];
        const ink = dy >= -3 && dy <= 3 && (dx === 0 || (dy <= 0 && Math.abs(dx) === dy + 3));
        return Number(((ink ? 1 : 0) + 0.9 * (next() + next() + next() - 1.5)).toFixed(3));
      }),
    );
    return { image, label };
  });
}

export const experiment = experimentOf({
  title: "`madaug` where turning an image over changes its class",
  about: `48 images of 12 x 12, an arrow that points up or down, in noise; 64 others for lessons and 400 of the test. A convolutional network, 400
steps of 16 images, lessons of the policy every other step at a rate of 0.01. Its chance of the flip that changes the class, at the end,
beside 1 / 16 of any operation, and accuracy against augmentations that are drawn alike and against none.`,
  seeds: [1, 2],
  tested: 1,
  long: true,
  figures: {
    "chance of the flip of rows": { below: 1 / 16 },
    "chance of the flip of columns": {},
    "accuracy, madaug": {},
    "madaug − uniform draws": {},
    "madaug − none": {},
  },
  run: (seed) =>
    inLab(async (lab) => {
      const data = lab.groups({ all: arrows(seed, 48) }, { all: arrows(1000 + seed, 64) });
      const test = lab.rows("test", arrows(2000 + seed, 400));
      const line = `${lab.fresh(CONVNET, "net")} ${data} --batch-size 16 --lr 5e-3 --steps 400 --eval-every 0 --save-every 0 --seed ${seed} --method madaug`;
      const accuracy = async (more: string) => {
        await lab.script("curriculum", `${line} ${more} -o out.safetensors --overwrite`);
        const text = await lab.script("evaluate", `out.safetensors --data ${test} --metric accuracy --json`);
        return (JSON.parse(text) as { accuracy: number }).accuracy;
      };
      const learnt = await accuracy("--policy-every 2 --policy-lr 0.01 --log learnt.log");
      const lines = readFileSync(join(lab.folder, "learnt.log"), "utf8").trim().split("\n");
      const lessons = lines.map(
        (text) => JSON.parse(text) as { event: string; operations: string[]; chances: number[] },
      );
      const { operations, chances } = lessons.findLast(({ event }) => event === "augmentations")!;
      const chance = (name: string) => chances[operations.indexOf(name)]!;
      return {
        "chance of the flip of rows": chance("flip-rows"),
        "chance of the flip of columns": chance("flip-columns"),
        "accuracy, madaug": learnt,
        "madaug − uniform draws": learnt - (await accuracy("--policy uniform")),
        "madaug − none": learnt - (await accuracy("--policy uniform --tau 1e9")),
      };
    }),
});
