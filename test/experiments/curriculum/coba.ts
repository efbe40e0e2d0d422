import { decoder, inLab, Language, mean } from "../curriculum-lab.ts";
import { experimentOf } from "../experiment.ts";

const NAMES = ["a", "few", "b"] as const;

export const experiment = experimentOf({
  title: "`coba` where a group of twelve rows is learnt by heart",
  about: `Two languages of 800 rows each generalise, twelve rows of symbols that follow at random do not: their held-out loss rises.
A decoder of one layer, 250 steps of 16 rows. Held-out losses in nats; \`stratified\` draws all groups alike.`,
  seeds: [1, 2, 3],
  tested: 1,
  long: true,
  figures: {
    "stratified, the twelve rows": {},
    "coba − stratified, the twelve rows": { below: -0.18 },
    "coba − stratified, the worse of the others": { below: 0.05 },
    "coba, weight of the twelve, of 1": { below: 0.25 },
  },
  run: (seed) =>
    inLab(async (lab) => {
      const other = 1000 * (seed - 1);
      const made = [12, 1, 12].map(
        (sharpness, i) => new Language({ seed: other + 11 + i, size: 16, sharpness, first: 16 * i }),
      );
      const rows = (counts: readonly number[], from: number) =>
        Object.fromEntries(NAMES.map((name, i) => [name, made[i]!.rows(counts[i]!, other + from + i)]));
      const wide = lab.fresh(decoder({ hidden_size: 32, intermediate_size: 64 }), "wide");
      const data = lab.groups(rows([800, 12, 800], 100), rows([32, 32, 32], 105));
      const line = `${wide} ${data} --batch-size 16 --lr 0.01 --warmup 10 --steps 250 --seed ${seed}`;
      const { losses: plain } = await lab.run(`${line} --method stratified`);
      const coba = await lab.run(`${line} --method coba --shares uniform --burn-in 20 --every 5 --window 8`);
      const more = (name: "a" | "few" | "b") => coba.losses[name]! - plain[name]!;
      return {
        "stratified, the twelve rows": plain.few!,
        "coba − stratified, the twelve rows": more("few"),
        "coba − stratified, the worse of the others": Math.max(more("a"), more("b")),
        "coba, weight of the twelve, of 1": mean(coba.mixtures.slice(5).map(({ weights }) => weights![1]!)),
      };
    }),
});
