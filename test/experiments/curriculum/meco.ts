import { inLab, Language } from "../curriculum-lab.ts";
import { RUN, SHARED } from "../curriculum-languages.ts";
import { experimentOf } from "../experiment.ts";

export const experiment = experimentOf({
  title: "`meco`: metadata before the rows, and a cool-down without",
  about: `Four languages over 12 symbols, 400 rows each with a token that names the language and 400 without. A decoder of one layer,
300 steps of 16 rows, of which the cool-down on plain rows is a fifth or none. Held-out losses in nats. Plain rows alone are the better
training at this size, against what the paper has, so nothing is asserted of them.`,
  seeds: [1, 2, 3],
  tested: 1,
  long: true,
  figures: {
    "no cool-down, plain rows": {},
    "cool-down − none, plain rows": { below: -0.45 },
    "plain rows alone − no cool-down, plain rows": {},
    "right name − none, the larger of both runs": { below: -0.2 },
    "no name − a wrong one, the larger of both runs": { below: -0.6 },
  },
  run: (seed) =>
    inLab(async (lab) => {
      const other = 1000 * (seed - 1);
      const made = [0, 1, 2, 3].map((i) => new Language({ seed: other + 10 + i, size: 12, sharpness: 14 }));
      const rows = (count: number, from: number, mark: (i: number) => number[]) =>
        made.flatMap((language, i) => language.rows(count, other + from + i, { prefix: mark(i) }));
      const plain = () => [];
      const named = (i: number) => [20 + i];
      const held = {
        plain: rows(12, 150, plain),
        right: rows(12, 150, named),
        wrong: rows(12, 150, (i) => [20 + ((i + 1) % 4)]),
      };
      const data = lab.groups({ right: rows(400, 100, named), plain: rows(400, 120, plain) }, held);
      const line = `${lab.fresh(SHARED)} ${data} ${RUN} --steps 300 --seed ${seed}`;
      const meco = "--method meco --conditioned right --plain plain --cooldown-share";
      const { losses: cooled } = await lab.run(`${line} ${meco} 0.2`);
      const { losses: hot } = await lab.run(`${line} ${meco} 0`);
      const { losses: alone } = await lab.run(`${line} --method static --mixture 0,1`);
      const larger = (a: string, b: string) => Math.max(...[cooled, hot].map((losses) => losses[a]! - losses[b]!));
      return {
        "no cool-down, plain rows": hot.plain!,
        "cool-down − none, plain rows": cooled.plain! - hot.plain!,
        "plain rows alone − no cool-down, plain rows": alone.plain! - hot.plain!,
        "right name − none, the larger of both runs": larger("right", "plain"),
        "no name − a wrong one, the larger of both runs": larger("plain", "wrong"),
      };
    }),
});
