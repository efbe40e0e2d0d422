import { runShell } from "../../support/command.ts";
import { decoder, inLab, type Lab, Language } from "../curriculum-lab.ts";
import { experimentOf } from "../experiment.ts";

const LAYERS = 12;
const [STEPS, HEAL] = [400, 40];
const RULES = {
  uniform: "--method uniform --speedup 2",
  last: "--method last --drop 6",
  first: "--method first --drop 6",
  cosine: "--method cosine --drop 6 --calibration rows.jsonl",
  loss: "--method loss --drop 6 --calibration rows.jsonl",
} as const;

async function lossOf(lab: Lab, model: string): Promise<number> {
  const text = await lab.script("evaluate", `${model} --data held.jsonl --metric loss --json`);
  const found = /"loss": ?([\d.]+)/.exec(text)?.[1];
  if (found === undefined) throw new Error(`no loss of ${model} in ${text}`);
  return Number(found);
}

export const experiment = experimentOf({
  title: "Half of the layers, before and after they are healed",
  about: `A decoder of ${LAYERS} layers of width 16, trained for ${STEPS} steps of 16 rows on a language of 32 symbols that follow one another by a random
table. Six layers go, chosen by each rule (*first* and *last* leave out those), and the pipe \`compress depth | distill\` has what is left learn from the
whole model for ${HEAL} steps. Loss on other rows; *least* is that of one who knows the table. \`cosine\` and \`loss\` read 16 rows.`,
  seeds: [1, 2, 3],
  tested: 1,
  long: true,
  figures: {
    least: {},
    whole: {},
    ...Object.fromEntries(
      Object.keys(RULES).flatMap((rule) => [
        [`${rule}, cut`, {}],
        [`${rule}, healed`, {}],
      ]),
    ),
    "uniform, healed − cut": { below: 0 },
    "loss − uniform, cut": { below: 0 },
    "uniform − first, healed": {},
    "uniform − last, healed": {},
  },
  run: (seed) =>
    inLab(async (lab) => {
      const language = new Language({ seed, size: 32, sharpness: 4 });
      const held = language.rows(200, 100 + seed);
      lab.rows("train", language.rows(2000, 200 + seed));
      lab.rows("held", held);
      lab.rows("rows", language.rows(16, 300 + seed));
      const learn = `--data train.jsonl --batch-size 16 --clip 1 --seed ${seed} --save-every 0`;
      const config = lab.fresh(decoder({ num_hidden_layers: LAYERS }));
      await lab.script("train", `${config} ${learn} --steps ${STEPS} --lr 1e-2 --warmup 40 -o whole/`);
      const whole = await lossOf(lab, "whole/");
      const found: Record<string, number> = {};
      for (const [rule, how] of Object.entries(RULES)) {
        await lab.script("compress", `depth whole/ ${how} -o ${rule}/`);
        found[`${rule}, cut`] = await lossOf(lab, `${rule}/`);
        const heal = `--teacher whole/ ${learn} --steps ${HEAL} --lr 3e-3 -q -o ${rule}-healed/`;
        const { code, err } = await runShell(`$COMPRESS depth whole/ ${how} -q | $DISTILL ${heal}`, lab.folder);
        if (code !== 0) throw new Error(`${rule}\n${err}`);
        found[`${rule}, healed`] = await lossOf(lab, `${rule}-healed/`);
      }
      const gap = (a: string, b: string) => found[a]! - found[b]!;
      return {
        ...{ least: language.least(held), whole },
        ...found,
        "uniform, healed − cut": gap("uniform, healed", "uniform, cut"),
        "loss − uniform, cut": gap("loss, cut", "uniform, cut"),
        "uniform − first, healed": gap("uniform, healed", "first, healed"),
        "uniform − last, healed": gap("uniform, healed", "last, healed"),
      };
    }),
});
