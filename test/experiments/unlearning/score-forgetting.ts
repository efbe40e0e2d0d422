import { inLab } from "../curriculum-lab.ts";
import { denoiser, distance, drawn, modeRows, nearestMode } from "../eight-modes.ts";
import { experimentOf } from "../experiment.ts";

export const experiment = experimentOf({
  title: "A class that is drawn as another: `unlearn --method sfd`",
  about: `A denoiser of eight labelled Gaussians on a circle (500 steps of 128 rows). Class 2 is to be forgotten and drawn as class 6: 250 steps of 128 draws,
AdamW at 1e-3 without momentum, gradients clipped at 1, weights 1 and 0 of the class. The share of 200 draws of a class in one step that are
nearest to a mode; energy distance from new rows in the mean over the other classes, beside the denoiser's own in 18 steps. At weight 0 the class
is not learnt at all, and what it draws is what its neighbours leave of it. On one seed of three fewer than 95 % are drawn as the other class, and the
draws of all classes are further from rows than the denoiser's own are.`,
  seeds: [1, 2, 3],
  tested: 1,
  long: true,
  figures: {
    "forgotten class in the other's mode": { above: 0.95 },
    "other classes in their own": { above: 0.95 },
    "distance of other classes": { below: 0.2 },
    "distance of other classes, the denoiser": {},
    "forgotten class in the other's mode, weight 0": { below: 0.05 },
  },
  run: (seed) =>
    inLab(async (lab) => {
      const rows = lab.rows("rows", modeRows(4000, 100 + seed));
      const held = lab.rows(
        "held",
        modeRows(1600, 200 + seed).filter(({ label }) => label !== 2),
      );
      const more = `--batch-size 128 --seed ${seed} --save-every 0`;
      await lab.script(
        "train",
        `${lab.fresh(denoiser(8))} --data ${rows} --loss denoise --steps 500 --lr 3e-3 ${more} -o full/`,
      );
      const forget = (weight: number, out: string) =>
        lab.script(
          "unlearn",
          `full/ --method sfd --forget-cond 2 --override 6 --sfd-weight ${weight} --beta1 0 --lr 1e-3 --clip 1 --steps 250 ${more} -o ${out}`,
        );
      await forget(1, "forgot/");
      await forget(0, "plain/");
      const share = async (model: string, label: number, mode: number) => {
        const found = await drawn(lab, `${model} --steps 1 --count 200 --label ${label} --seed ${seed}`);
        return found.filter((row) => nearestMode(row) === mode).length / found.length;
      };
      let others = 0;
      for (const label of [0, 1, 3, 4, 5, 6, 7]) others += (await share("forgot/", label, label)) / 7;
      return {
        "forgotten class in the other's mode": await share("forgot/", 2, 6),
        "other classes in their own": others,
        "distance of other classes": (await distance(lab, "forgot/", held, 1)).by_class ?? Number.NaN,
        "distance of other classes, the denoiser": (await distance(lab, "full/", held, 18)).by_class ?? Number.NaN,
        "forgotten class in the other's mode, weight 0": await share("plain/", 2, 6),
      };
    }),
});
