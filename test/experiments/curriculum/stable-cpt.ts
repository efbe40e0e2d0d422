import { inLab } from "../curriculum-lab.ts";
import { RUN, SHARED, sharing } from "../curriculum-languages.ts";
import { experimentOf } from "../experiment.ts";

export const experiment = experimentOf({
  title: "`stable-cpt`: a new language after an old one",
  about: `Two languages over the same 16 symbols, told apart by the first token, 800 rows each. A decoder of one layer, 150 steps of 16
rows of the old, then 100 of the new: all new, or a share of 0.7. Held-out losses in nats, the old one's at its worst.`,
  seeds: [1, 2, 3],
  tested: 1,
  long: true,
  figures: {
    "all new, rise of the old": {},
    "stable-cpt − all new, rise of the old": { below: -0.9 },
    "stable-cpt − all new, the new": { below: 0.1 },
  },
  run: (seed) =>
    inLab(async (lab) => {
      const data = `${sharing(lab, ["old", "new"], 800, 32, seed)} ${RUN} --seed ${seed}`;
      const start = `${lab.fresh(SHARED)} ${data} --steps 150 --method static --mixture 1,0`;
      const { losses: before } = await lab.run(start, "base/");
      const after = async (method: string) => {
        const { losses, course } = await lab.run(`base ${data} --steps 100 --eval-every 10 --method ${method}`);
        const old = course.filter(({ group }) => group === "old").map(({ value }) => value);
        return { rise: Math.max(...old) - before.old!, new: losses.new! };
      };
      const alone = await after("static --mixture 0,1");
      const stable = await after("stable-cpt --domain new --domain-share 0.7");
      return {
        "all new, rise of the old": alone.rise,
        "stable-cpt − all new, rise of the old": stable.rise - alone.rise,
        "stable-cpt − all new, the new": stable.new - alone.new,
      };
    }),
});
