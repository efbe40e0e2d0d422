import { readFileSync } from "node:fs";
import { join } from "node:path";
import { methodNames } from "../../../src/method/registry.ts";
import { runScript } from "../../support/command.ts";
import { decoder, inLab, Language, mean } from "../curriculum-lab.ts";
import { experimentOf } from "../experiment.ts";

const STEPS = [50, 100, 200] as const;
const INITS = methodNames("adapter-init");
const NONE = "lora";

/** What a way needs beside its defaults, so that it reads as many rows as the others. */
const SETTINGS: Readonly<Record<string, string>> = {
  eva: "--eva-rows 128",
  corda: "--corda-rows 128",
  "lora-ga": "--lora-ga-rows 128",
};

export const experiment = experimentOf({
  title: "Ways to begin a LoRA adapter",
  about: `A decoder of two layers learns a language of 24 symbols for 300 steps; a LoRA of rank 2 on every linear layer then learns another
language of the same symbols, with the same rows and the same rate for every way to begin. The mean training loss of the last ten steps
before step 50, 100 and 200: lower is better. \`lora\` begins with A drawn and B zero. The rate was not searched.
\`eva\` is as good or a little better on the mean; \`loftq\` trains on a base that is rounded to four bits.`,
  seeds: [1, 2, 3, 4, 5],
  tested: 1,
  long: true,
  columns: STEPS.map((step) => `step ${step}`),
  figures: {
    ...Object.fromEntries([NONE, ...INITS].flatMap((name) => STEPS.map((step) => [`${name}: step ${step}`, {}]))),
    ...Object.fromEntries(STEPS.map((step) => [`eva − lora: step ${step}`, {}])),
  },
  run: (seed) =>
    inLab(async (lab) => {
      const train = async (line: string) => {
        const { err, code } = await runScript(
          "train",
          `${line} --batch-size 16 --save-every 0 -q`.split(" "),
          lab.folder,
        );
        if (code !== 0) throw new Error(`${line}\n${err}`);
      };
      const language = (own: number) => new Language({ seed: 100 * seed + own, size: 24, sharpness: 6 });
      const before = lab.rows("before", language(1).rows(400, seed));
      const after = lab.rows("after", language(2).rows(400, seed));
      const config = lab.fresh(
        decoder({ vocab_size: 24, num_hidden_layers: 2, hidden_size: 32, intermediate_size: 64 }),
      );
      await train(`${config} --data ${before} --steps 300 --lr 1e-2 --seed ${seed} -o base/`);
      const figures: Record<string, number> = {};
      for (const name of [NONE, ...INITS]) {
        const init = name === NONE ? "" : ` --adapter-init ${name}${SETTINGS[name] ? ` ${SETTINGS[name]}` : ""}`;
        const run = `base/ --data ${after} --lora --lora-rank 2 --lora-alpha 4${init} --steps 200 --lr 1e-2 --seed ${seed}`;
        await train(`${run} --log-every 1 --log ${name}.log -o ${name}/`);
        const losses = readFileSync(join(lab.folder, `${name}.log`), "utf8")
          .trim()
          .split("\n")
          .map((line) => JSON.parse(line) as { event: string; loss?: number })
          .flatMap(({ event, loss }) => (event === "step" && loss !== undefined ? [loss] : []));
        for (const step of STEPS) figures[`${name}: step ${step}`] = mean(losses.slice(step - 10, step));
      }
      for (const step of STEPS)
        figures[`eva − lora: step ${step}`] = figures[`eva: step ${step}`]! - figures[`${NONE}: step ${step}`]!;
      return figures;
    }),
});
