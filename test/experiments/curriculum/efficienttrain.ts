import { inLab } from "../curriculum-lab.ts";
import { experimentOf } from "../experiment.ts";
import { uniform } from "../support.ts";

const SIDE = 32;
const VIT = {
  ...{ model_type: "vit", image_size: SIDE, patch_size: 4, num_channels: 1, num_labels: 6, initializer_range: 0.1 },
  ...{ hidden_size: 32, intermediate_size: 64, num_hidden_layers: 2, num_attention_heads: 4 },
};
/** Tokens of an image of a side, over those of the full side. */
const tokens = (side: number) => ((side / 4) ** 2 + 1) / ((SIDE / 4) ** 2 + 1);

/** A disc, a square or a cross, somewhere, with stripes of three or of six pixels, in noise. */
function images(seed: number, count: number) {
  const next = uniform(seed);
  return Array.from({ length: count }, (_, i) => {
    const label = i % 6;
    const [shape, period] = [label % 3, label < 3 ? 3 : 6];
    const [size, row, column] = [7 + 3 * next(), 11 + 10 * next(), 11 + 10 * next()];
    const phase = next();
    const inside = (y: number, x: number) => {
      if (shape === 0) return y * y + x * x < size * size;
      if (shape === 1) return Math.max(Math.abs(y), Math.abs(x)) < 0.85 * size;
      return Math.min(Math.abs(y), Math.abs(x)) < 0.35 * size && Math.max(Math.abs(y), Math.abs(x)) < size;
    };
    const image = Array.from({ length: SIDE }, (_, y) =>
      Array.from({ length: SIDE }, (_, x) => {
        const stripes = 1 + Math.sin(2 * Math.PI * (x / period + phase));
        const noise = next() + next() + next() - 1.5;
        return Number(((inside(y - row, x - column) ? stripes : 0) + 0.6 * noise).toFixed(3));
      }),
    );
    return { image, label };
  });
}

export const experiment = experimentOf({
  title: "`efficienttrain` on shapes with stripes",
  about: `480 images of 32 x 32, a disc, a square or a cross with stripes of three or six pixels, in noise; 240 held out. A vit of patches of
four, 480 steps of 16 images, no augmentation. Sides 16, 24 and 32 over 0.6, 0.2 and 0.2 of the steps, against 32 throughout, and the same
sides in the reverse order with the same shares for each; accuracy at 32. Tokens are those of all images that were seen.`,
  seeds: [1, 2],
  tested: 1,
  long: true,
  figures: {
    "tokens over those of full size": { below: 0.7 },
    "accuracy, full size": {},
    "efficienttrain − full size": {},
    "efficienttrain − reversed": {},
    "by resizing − full size": {},
  },
  run: (seed) =>
    inLab(async (lab) => {
      const [data, held] = [lab.rows("rows", images(seed, 480)), lab.rows("held", images(1000 + seed, 240))];
      const line = `${lab.fresh(VIT, "vit")} --data ${data} --batch-size 16 --lr 3e-3 --steps 480 --seed ${seed} --save-every 0 --method efficienttrain --magnitude 0`;
      const accuracy = async (more: string) => {
        await lab.script("curriculum", `${line} ${more} -o out.safetensors --overwrite`);
        const text = await lab.script("evaluate", `out.safetensors --data ${held} --metric accuracy --json`);
        return (JSON.parse(text) as { accuracy: number }).accuracy;
      };
      const full = await accuracy("--image-sides 32 --stage-shares 1");
      const growing = await accuracy("--image-sides 16,24,32");
      const reversed = await accuracy("--image-sides 32,24,16 --stage-shares 0.2,0.2,0.6");
      return {
        "tokens over those of full size": 0.6 * tokens(16) + 0.2 * tokens(24) + 0.2,
        "accuracy, full size": full,
        "efficienttrain − full size": growing - full,
        "efficienttrain − reversed": growing - reversed,
        "by resizing − full size": (await accuracy("--image-sides 16,24,32 --crop resize")) - full,
      };
    }),
});
