import { decoder, inLab, Language } from "../curriculum-lab.ts";
import { experimentOf } from "../experiment.ts";

export const experiment = experimentOf({
  title: "`--task-loss` where one task has ten times the rows of the others",
  about: `1000 rows of an easy language, 100 each of a middling and a hard one, drawn as they are. A decoder of one layer, 150 steps
of 16 rows. The worst group's held-out loss above the least possible; \`token-mean\` weighs all tokens alike.`,
  seeds: [1, 2, 3],
  tested: 1,
  figures: {
    "token-mean": {},
    "task-token-mean − token-mean": { below: -0.09 },
    "task-focal − token-mean": { below: -0.09 },
  },
  run: (seed) =>
    inLab(async (lab) => {
      const other = 1000 * (seed - 1);
      const tasks = [
        ["easy", 1000, { size: 4, sharpness: 30, first: 16 }],
        ["mid", 100, { size: 12, sharpness: 10, first: 20 }],
        ["hard", 100, { size: 32, sharpness: 20, first: 32 }],
      ] as const;
      const made = tasks.map(([name, count, given], i) => {
        const language = new Language({ seed: other + 12 + i, ...given });
        const held = language.rows(32, other + 151 + i);
        return { name, rows: language.rows(count, other + 101 + i), held, least: language.least(held) };
      });
      const of = (part: "rows" | "held") => Object.fromEntries(made.map((task) => [task.name, task[part]]));
      const data = lab.groups(of("rows"), of("held"));
      const line = `${lab.fresh(decoder())} ${data} --batch-size 16 --lr 0.01 --warmup 10 --steps 150 --seed ${seed}`;
      const worst = async (kind: string) => {
        const { losses } = await lab.run(`${line} --method static --task-loss ${kind}`);
        return Math.max(...made.map(({ name, least }) => losses[name]! - least));
      };
      const plain = await worst("token-mean");
      return {
        "token-mean": plain,
        "task-token-mean − token-mean": (await worst("task-token-mean")) - plain,
        "task-focal − token-mean": (await worst("task-focal")) - plain,
      };
    }),
});
