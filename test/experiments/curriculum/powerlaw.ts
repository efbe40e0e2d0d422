import { all, inLab } from "../curriculum-lab.ts";
import { RUN, SHARED, sharing } from "../curriculum-languages.ts";
import { experimentOf } from "../experiment.ts";

export const experiment = experimentOf({
  title: "`powerlaw`: five languages in turn, rehearsed",
  about: `Five languages over the same 16 symbols, told apart by the first token, 400 rows each. A decoder of one layer, 300 steps of 16
rows, a budget of 0.4 for rehearsal. Mean held-out loss of the five in nats; in the last row the last but one less the oldest.`,
  seeds: [1, 2, 3],
  tested: 2,
  long: true,
  figures: {
    none: {},
    "recent − none": { below: -0.3 },
    "power − recent": { below: -0.5 },
    "power − uniform": { above: -0.2, below: 0.2 },
    "power − uniform, last but one less oldest": { below: -0.15 },
  },
  run: (seed) =>
    inLab(async (lab) => {
      const data = `${sharing(lab, ["a", "b", "c", "d", "e"], 400, 16, seed)} ${RUN} --seed 1 --schedule constant`;
      const after = async (kernel: string) =>
        (await lab.run(`${lab.fresh(SHARED)} ${data} --steps 300 --method powerlaw --budget 0.4 --kernel ${kernel}`))
          .losses;
      const none = await after("none");
      const recent = await after("recent");
      const uniform = await after("uniform");
      const power = await after("power");
      return {
        none: all(none),
        "recent − none": all(recent) - all(none),
        "power − recent": all(power) - all(recent),
        "power − uniform": all(power) - all(uniform),
        "power − uniform, last but one less oldest": power.d! - power.a! - (uniform.d! - uniform.a!),
      };
    }),
});
