import { inLab, Language } from "../curriculum-lab.ts";
import { RUN, SHARED } from "../curriculum-languages.ts";
import { experimentOf } from "../experiment.ts";

export const experiment = experimentOf({
  title: "One epoch of fresh rows against ten over a tenth of them",
  about: `2400 rows of a language once, or 240 ten times. A decoder of one layer, 150 steps of 16 rows. Held-out loss in nats.`,
  seeds: [1, 2, 3],
  tested: 1,
  figures: { "2400 rows once": {}, "240 rows ten times − 2400 once": { above: 0.12 } },
  run: (seed) =>
    inLab(async (lab) => {
      const other = 1000 * (seed - 1);
      const language = new Language({ seed: other + 11, size: 32, sharpness: 8 });
      const held = { all: language.rows(48, other + 109) };
      const after = async (rows: number) => {
        const data = lab.groups({ all: language.rows(rows, other + 100) }, held);
        const line = `${lab.fresh(SHARED)} ${data} ${RUN} --steps 150 --seed ${seed} --method static`;
        return (await lab.run(line)).losses.all!;
      };
      const once = await after(2400);
      return { "2400 rows once": once, "240 rows ten times − 2400 once": (await after(240)) - once };
    }),
});
