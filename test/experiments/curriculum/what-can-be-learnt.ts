import { decoder, inLab, Language } from "../curriculum-lab.ts";
import { experimentOf } from "../experiment.ts";

export const experiment = experimentOf({
  title: "`progress` and `sec` where three of four groups are noise that the model knows",
  about: `A language of 32 symbols, and three groups of ten symbols that follow at random. A decoder of one layer, 60 steps over all
groups alike, then 100 steps of 16 rows. The language's held-out loss in nats and its share of the rows at the end.`,
  seeds: [1, 2, 3],
  tested: 1,
  figures: {
    stratified: {},
    "progress − stratified": { below: -0.02 },
    "sec − stratified": {},
    "progress, share of the language": { above: 0.45 },
    "sec, share of the language − the largest other": { above: 0 },
  },
  run: (seed) =>
    inLab(async (lab) => {
      const other = 1000 * (seed - 1);
      const made = Object.entries({
        hard: new Language({ seed: other + 19, size: 32, sharpness: 20, first: 32 }),
        one: new Language({ seed: other + 10, size: 10, sharpness: 0, first: 0 }),
        two: new Language({ seed: other + 11, size: 10, sharpness: 0, first: 10 }),
        three: new Language({ seed: other + 12, size: 10, sharpness: 0, first: 20 }),
      });
      const rows = (count: number, from: number) =>
        Object.fromEntries(made.map(([name, language], i) => [name, language.rows(count, other + from + i)]));
      const data = lab.groups(rows(800, 100), rows(24, 150));
      const line = `${data} --batch-size 16 --lr 0.01 --warmup 10 --seed ${seed}`;
      const begin = `${lab.fresh(decoder())} ${line} --steps 60 --schedule constant --method stratified`;
      await lab.run(begin, "base/");
      const after = async (method: string) => {
        const { losses, mixtures } = await lab.run(`base ${line} --steps 100 --method ${method}`);
        const [own, ...others] = mixtures.at(-1)?.probs ?? [];
        return { loss: losses.hard!, own: own!, others: Math.max(...others) };
      };
      const plain = await after("stratified");
      const progress = await after("progress --every 10");
      const sec = await after("sec --every 10");
      return {
        stratified: plain.loss,
        "progress − stratified": progress.loss - plain.loss,
        "sec − stratified": sec.loss - plain.loss,
        "progress, share of the language": progress.own,
        "sec, share of the language − the largest other": sec.own - sec.others,
      };
    }),
});
