import { decoder, inLab, Language } from "../curriculum-lab.ts";
import { experimentOf } from "../experiment.ts";

export const experiment = experimentOf({
  title: "`quality`, `self-paced`, `competence` and `cyclical` where half of the rows are noise",
  about: `150 rows of a language and 150 of noise. A decoder of one layer that has seen 100 trusted rows for 40 steps, then 100 steps of
16 rows. Held-out loss above the least possible; all rows alike is \`quality --subset 1\`.`,
  seeds: [1, 2, 3],
  tested: 1,
  long: true,
  figures: {
    "all rows": {},
    "quality, the best half − all rows": { below: -0.2 },
    "self-paced − all rows": { below: -0.12 },
    "competence − all rows": { below: -0.07 },
    "cyclical − all rows": { below: -0.03 },
    "competence, hard rows first − all rows": { above: 0 },
  },
  run: (seed) =>
    inLab(async (lab) => {
      const other = 1000 * (seed - 1);
      const language = new Language({ seed: other + 11, size: 16, sharpness: 12 });
      const noise = new Language({ seed: other + 12, size: 16, sharpness: 0 });
      const held = { all: language.rows(48, other + 109) };
      const rows = { all: [...language.rows(150, other + 101), ...noise.rows(150, other + 102)] };
      const line = `--batch-size 16 --lr 0.01 --warmup 10 --seed ${seed}`;
      const trusted = lab.groups({ all: language.rows(100, other + 100) }, held);
      await lab.run(`${lab.fresh(decoder({ vocab_size: 16 }))} ${trusted} ${line} --steps 40 --method static`, "base/");
      const data = lab.groups(rows, held);
      const after = async (method: string) => {
        const { losses } = await lab.run(`base ${data} ${line} --steps 100 --method ${method}`);
        return losses.all! - language.least(held.all);
      };
      const all = await after("quality --subset 1");
      return {
        "all rows": all,
        "quality, the best half − all rows": (await after("quality --subset 0.5")) - all,
        "self-paced − all rows": (await after("self-paced --start 0.3 --over 1")) - all,
        "competence − all rows": (await after("competence --c0 0.3 --over 1")) - all,
        "cyclical − all rows": (await after("cyclical")) - all,
        "competence, hard rows first − all rows": (await after("competence --c0 0.3 --over 1 --toward easy")) - all,
      };
    }),
});
