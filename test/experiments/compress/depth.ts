import { runShell } from "../../support/command.ts";
import { pieces } from "../compress-text.ts";
import { inLab, type Lab } from "../curriculum-lab.ts";
import { experimentOf } from "../experiment.ts";

const LAYERS = 12;
const READ = "--max-length 96 --batch-size 8";
const [STEPS, HEAL] = [400, 80];
const RULES = {
  uniform: "--method uniform --speedup 2",
  "without the last": "--method last --drop 6",
  "without the first": "--method first --drop 6",
  cosine: "--method cosine --drop 6 --calibration rows.jsonl --max-length 96",
  loss: "--method loss --drop 6 --calibration rows.jsonl --max-length 96",
} as const;

async function perplexity(lab: Lab, model: string): Promise<number> {
  const text = await lab.script("evaluate", `${model} --data held.jsonl --metric perplexity ${READ} --json`);
  const found = /"perplexity": ([\d.]+)/.exec(text)?.[1];
  if (found === undefined) throw new Error(`no perplexity of ${model} in ${text}`);
  return Number(found);
}

export const experiment = experimentOf({
  title: "Half of the layers, before and after they are healed",
  about: `A decoder of ${LAYERS} layers of width 48 that reads bytes, trained for ${STEPS} steps of 8 rows of 96 bytes on Markdown pages of packages.
Six layers go, chosen by each rule, and the pipe \`compress depth | distill\` lets what is left learn from the whole model for ${HEAL} steps.
Perplexity per byte on pages that neither saw. \`cosine\` and \`loss\` read 16 rows.`,
  seeds: [1, 2, 3],
  tested: 1,
  long: true,
  figures: {
    whole: {},
    ...Object.fromEntries(
      Object.keys(RULES).flatMap((rule) => [
        [`${rule}, cut`, {}],
        [`${rule}, healed`, {}],
      ]),
    ),
    "uniform, healed / cut": { below: 0.8 },
    "loss / uniform, cut": { below: 1 },
    "uniform / without the first, healed": {},
    "uniform / without the last, healed": {},
  },
  run: (seed) =>
    inLab(async (lab) => {
      const rows = pieces().map((text) => ({ text }));
      lab.rows(
        "train",
        rows.filter((_, i) => i % 10 !== 0),
      );
      lab.rows("held", rows.filter((_, i) => i % 10 === 0).slice(0, 64));
      lab.rows("rows", rows.filter((_, i) => i % 10 === seed).slice(0, 16));
      const config = {
        ...{ model_type: "llama", hidden_size: 48, intermediate_size: 128, num_hidden_layers: LAYERS },
        ...{ num_attention_heads: 4, num_key_value_heads: 2, vocab_size: 264, max_position_embeddings: 128 },
        tie_word_embeddings: true,
      };
      const learn = `--data train.jsonl ${READ} --overflow truncate --clip 1 --seed ${seed} --save-every 0`;
      await lab.script(
        "train",
        `${lab.fresh(config)} --tokenizer byte ${learn} --steps ${STEPS} --lr 3e-3 --warmup 40 -o whole/`,
      );
      const whole = await perplexity(lab, "whole/");
      const found: Record<string, number> = {};
      for (const [rule, how] of Object.entries(RULES)) {
        const name = rule.replaceAll(" ", "-");
        await lab.script("compress", `depth whole/ ${how} -o ${name}/`);
        found[`${rule}, cut`] = await perplexity(lab, `${name}/`);
        const heal = `--teacher whole/ ${learn} --steps ${HEAL} --lr 1e-3 -q -o ${name}-healed/`;
        const { code, err } = await runShell(`$COMPRESS depth whole/ ${how} -q | $DISTILL ${heal}`, lab.folder);
        if (code !== 0) throw new Error(`${rule}\n${err}`);
        found[`${rule}, healed`] = await perplexity(lab, `${name}-healed/`);
      }
      const of = (name: string) => found[name]!;
      return {
        whole,
        ...found,
        "uniform, healed / cut": of("uniform, healed") / of("uniform, cut"),
        "loss / uniform, cut": of("loss, cut") / of("uniform, cut"),
        "uniform / without the first, healed": of("uniform, healed") / of("without the first, healed"),
        "uniform / without the last, healed": of("uniform, healed") / of("without the last, healed"),
      };
    }),
});
