import { readFileSync } from "node:fs";
import { join } from "node:path";
import { decoder, inLab, Language } from "../curriculum-lab.ts";
import { experimentOf } from "../experiment.ts";

export const experiment = experimentOf({
  title: "`doge`: shares for a language that is aimed at, learnt on a small decoder",
  about: `Three groups of 300 rows over the same 16 symbols: the language that is aimed at (24 other rows of it are held out), another language,
and symbols that follow at random. \`doge\` trains a decoder of one layer for 120 steps of 16 rows, and another one of twice the width is
trained for as long by the average of its mixtures (\`static --mixture-file\`), against equal shares. Held-out loss of the language.`,
  seeds: [1, 2, 3],
  tested: 1,
  long: true,
  figures: {
    "average share of the language": { above: 1 / 3 },
    "average share of random symbols": { below: 1 / 3 },
    "loss, equal shares": {},
    "by doge's average − equal shares": { below: 0 },
  },
  run: (seed) =>
    inLab(async (lab) => {
      const languages = [0, 1, 2].map(
        (i) => new Language({ seed: 10 * seed + i, size: 16, sharpness: i === 2 ? 0 : 8 }),
      );
      const [own, other, random] = languages.map((language, i) => language.rows(300, 100 * seed + i));
      const held = languages[0]!.rows(24, 100 * seed + 9);
      const data = lab.groups({ own: own!, other: other!, random: random! }, { aimed: held });
      const line = `${data} --batch-size 16 --lr 0.01 --steps 120 --seed ${seed}`;
      const proxy = lab.fresh(decoder(), "small");
      await lab.script("curriculum", `${proxy} ${line} --method doge --every 5 --save-every 0 --log doge.log -o proxy.safetensors`);
      const events = readFileSync(join(lab.folder, "doge.log"), "utf8").trim().split("\n");
      const mixtures = events.map((text) => JSON.parse(text) as { event: string; average: number[] });
      const { average } = mixtures.findLast(({ event }) => event === "mixture")!;
      const large = lab.fresh(decoder({ hidden_size: 32, intermediate_size: 64 }), "large");
      const loss = async (method: string) => (await lab.run(`${large} ${line} --method ${method}`)).losses.aimed!;
      const equal = await loss("stratified");
      return {
        "average share of the language": average[0]!,
        "average share of random symbols": average[2]!,
        "loss, equal shares": equal,
        "by doge's average − equal shares": (await loss("static --mixture-file doge.log")) - equal,
      };
    }),
});
