/** Whether the first steps of fine-tunings tell their end, and whether phases of data are better at once. */
import { all, inLab } from "../curriculum-lab.ts";
import { RUN, SHARED, sharing } from "../curriculum-languages.ts";
import { experimentOf } from "../experiment.ts";

interface Found {
  readonly norm_correlation: number;
  readonly loss_correlation: number;
  readonly rank_correlation: number;
  readonly regret: number;
}

export const experiment = experimentOf({
  title: "`--probe early-signal`, and phases of data at once or in a row",
  about: `A decoder of one layer learns a language of 16 symbols in 150 steps of 16 rows, then a second one over the same symbols, told apart by the first
token: 1280 rows in steps of 8, 32 or 128 at 1e-3, 4e-3 or 1.6e-2. Early is the first tenth. *Phased* and *stacked* train on two new languages in
150 steps of 16 rows at a constant rate, one after the other or at once. Held-out losses in nats. With the card, low norms go with a good
end; against it, high early losses go with a bad one, and phases cost what the first one taught.`,
  seeds: [1, 2, 3],
  tested: 1,
  long: true,
  figures: {
    "rank correlation of early norm and end": { above: 0 },
    "rank correlation of early loss and end": {},
    "rank correlation of early rank and end": {},
    "regret of the kept half": {},
    "stacked, mean loss": {},
    "phased − stacked, mean loss": { above: 0 },
  },
  run: (seed) =>
    inLab(async (lab) => {
      const data = sharing(lab, ["old", "one", "two"], 800, 32, seed);
      const file = (name: string) => data.split(" ").find((word) => word.startsWith(`${name}=`))!;
      const start = `${lab.fresh(SHARED)} --data ${file("old")} ${RUN} --steps 150 --seed ${seed} --save-every 0`;
      await lab.script("train", `${start} -o base/`);
      const sweep = "--early-signal-batches 8,32,128 --early-signal-rates 1e-3,4e-3,1.6e-2 --early-signal-rows 1280";
      const text = await lab.script("evaluate", `base --data ${file("one")} --probe early-signal ${sweep} --json`);
      const [found] = JSON.parse(text).rows as [Found];
      const words = data.split(" ");
      const groups = words.filter((word, i) => !word.includes("old=") && !words[i + 1]?.includes("old=")).join(" ");
      const both = async (method: string) => {
        const { losses } = await lab.run(
          `base ${groups} --batch-size 16 --lr 4e-3 --schedule constant --steps 150 --seed ${seed} --method ${method}`,
        );
        return all(losses);
      };
      const [stacked, phased] = [await both("stacked"), await both("phased")];
      return {
        "rank correlation of early norm and end": found.norm_correlation,
        "rank correlation of early loss and end": found.loss_correlation,
        "rank correlation of early rank and end": found.rank_correlation,
        "regret of the kept half": found.regret,
        "stacked, mean loss": stacked,
        "phased − stacked, mean loss": phased - stacked,
      };
    }),
});
