import { decoder, inLab, Language, rowOf } from "../curriculum-lab.ts";
import { experimentOf } from "../experiment.ts";
import { uniform } from "../support.ts";

export const experiment = experimentOf({
  title: "`--sample-weight` where six rows in ten are copies of four and one in ten is noise",
  about: `360 copies of four rows, 180 rows of a language, 60 of noise. A decoder of one layer, 150 steps of 32 rows. Held-out loss of
the language above the least possible; uniform weighs all rows alike.`,
  seeds: [1, 2, 3],
  tested: 1,
  long: true,
  figures: {
    uniform: {},
    "linupper − uniform": { below: -0.03 },
    "quadratic − uniform": {},
    "extremes − uniform": { above: -0.01 },
  },
  run: (seed) =>
    inLab(async (lab) => {
      const other = 1000 * (seed - 1);
      const text = new Language({ seed: other + 11, size: 32, sharpness: 12 });
      const next = uniform(other + 77);
      const strange = (first: number) => rowOf(Array.from({ length: 16 }, () => first + Math.floor(16 * next())));
      const few = Array.from({ length: 4 }, () => strange(32));
      const noise = Array.from({ length: 60 }, () => strange(48));
      const held = { all: text.rows(48, other + 101) };
      const copies = Array.from({ length: 360 }, (_, i) => few[i % 4]!);
      const data = lab.groups({ all: [...copies, ...text.rows(180, other + 100), ...noise] }, held);
      const line = `${data} --batch-size 32 --lr 0.01 --warmup 10 --steps 150 --seed ${seed} --method static`;
      const after = async (how: string) => {
        const { losses } = await lab.run(`${lab.fresh(decoder())} ${line} ${how}`);
        return losses.all! - text.least(held.all);
      };
      const plain = await after("");
      const more = async (kind: string) => (await after(`--sample-weight ${kind} --reweight-temp 0.4`)) - plain;
      return {
        uniform: plain,
        "linupper − uniform": await more("linupper"),
        "quadratic − uniform": await more("quadratic"),
        "extremes − uniform": await more("extremes"),
      };
    }),
});
