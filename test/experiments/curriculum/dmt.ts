import { inLab } from "../curriculum-lab.ts";
import { RUN, SHARED, sharing } from "../curriculum-languages.ts";
import { experimentOf } from "../experiment.ts";

export const experiment = experimentOf({
  title: "`dmt`: two special languages, then a general one",
  about: `Three languages over the same 16 symbols, told apart by the first token, 400 rows each. A decoder of one layer, 240 steps of 16
rows. \`dmt\` replays a fixed 0.05 of the special rows in the second stage, mixed-sequential none; sequential takes one special language after the other. Held-out losses in nats.`,
  seeds: [1, 2, 3],
  tested: 1,
  long: true,
  figures: {
    "sequential, the first": {},
    "mixed-sequential, the first": {},
    "mixed-sequential, mean of the special": {},
    "dmt − mixed-sequential, the first": { below: -1.2 },
    "dmt − mixed-sequential, the second": { below: -1.2 },
    "dmt − mixed-sequential, the general": { below: 0.12 },
  },
  run: (seed) =>
    inLab(async (lab) => {
      const data = `${sharing(lab, ["one", "two", "general"], 400, 32, seed)} ${RUN} --seed ${seed}`;
      const line = `${lab.fresh(SHARED)} ${data} --schedule constant --steps 240 --method dmt --special one,two`;
      const { losses: without } = await lab.run(`${line} --strategy mixed-sequential`);
      const { losses: turns } = await lab.run(`${line} --strategy sequential`);
      const { losses: dmt } = await lab.run(`${line} --replay 0.05`);
      return {
        "sequential, the first": turns.one!,
        "mixed-sequential, the first": without.one!,
        "mixed-sequential, mean of the special": (without.one! + without.two!) / 2,
        "dmt − mixed-sequential, the first": dmt.one! - without.one!,
        "dmt − mixed-sequential, the second": dmt.two! - without.two!,
        "dmt − mixed-sequential, the general": dmt.general! - without.general!,
      };
    }),
});
