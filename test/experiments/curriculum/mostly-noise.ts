import { decoder, inLab, Language, mean, type Outcome } from "../curriculum-lab.ts";
import { experimentOf } from "../experiment.ts";

const ROWS = { noise: 1600, easy: 400, mid: 200, hard: 100 };
type Name = keyof typeof ROWS;

export const experiment = experimentOf({
  title: "`doremi` and `ado` where most rows are noise",
  about: `Four languages with symbols of their own: 1600 rows of noise, 400, 200 and 100 of an easy, a middling and a hard one. A decoder
of one layer, 150 steps of 16 rows. Losses are held out and above the least possible; \`static\` draws the natural mixture.`,
  seeds: [1, 2, 3],
  tested: 1,
  long: true,
  figures: {
    "static, worst group": {},
    "static, mean of groups": {},
    "doremi − static, worst": { below: -0.4 },
    "doremi − static, mean": { below: -0.08 },
    "ado − static, mean": { below: -0.02 },
  },
  run: (seed) =>
    inLab(async (lab) => {
      const other = 1000 * (seed - 1);
      const languages: Record<Name, Language> = {
        noise: new Language({ seed: other + 11, size: 16, sharpness: 0, first: 0 }),
        easy: new Language({ seed: other + 12, size: 4, sharpness: 30, first: 16 }),
        mid: new Language({ seed: other + 13, size: 12, sharpness: 10, first: 20 }),
        hard: new Language({ seed: other + 14, size: 32, sharpness: 20, first: 32 }),
      };
      const names = Object.keys(ROWS) as Name[];
      const each = <T>(of: (name: Name, at: number) => T) =>
        Object.fromEntries(names.map((name, i) => [name, of(name, i)])) as Record<Name, T>;
      const held = each((name, i) => languages[name].rows(32, other + 150 + i));
      const least = each((name) => languages[name].least(held[name]));
      const data = lab.groups(
        each((name, i) => languages[name].rows(ROWS[name], other + 100 + i)),
        held,
      );
      const line = `${lab.fresh(decoder())} ${data} --batch-size 16 --lr 0.01 --warmup 10 --steps 150 --seed ${seed}`;
      const excess = ({ losses }: Outcome) => names.map((name) => losses[name]! - least[name]);
      const after = async (method: string) => excess(await lab.run(`${line} --method ${method}`));
      const natural = await after("static");
      const references = names.map((name) => least[name].toFixed(4)).join(",");
      const doremi = await after(`doremi --every 10 --reference-losses ${references}`);
      const ado = await after("ado --every 10 --least-points 3");
      const [worst, average] = [Math.max(...natural), mean(natural)];
      return {
        "static, worst group": worst,
        "static, mean of groups": average,
        "doremi − static, worst": Math.max(...doremi) - worst,
        "doremi − static, mean": mean(doremi) - average,
        "ado − static, mean": mean(ado) - average,
      };
    }),
});
