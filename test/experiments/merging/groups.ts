import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { runScript } from "../../support/command.ts";
import { inLab, type Lab, mean } from "../curriculum-lab.ts";
import { experimentOf } from "../experiment.ts";
import { CONFIG, changed, rowsOf, shuffled } from "../merge-experts.ts";
import { uniform } from "../support.ts";

const FAMILIES = [
  [0, 1, 2],
  [3, 4, 5],
] as const;
const LANGUAGES = FAMILIES.flat();

async function run(lab: Lab, script: string, line: string): Promise<string> {
  const { code, text, err } = await runScript(script, [...line.split(" "), "-q"], lab.folder);
  if (code !== 0) throw new Error(`${script} ${line}\n${err}`);
  return text;
}

/** Accuracy of a model on each of the languages. */
async function accuracies(lab: Lab, model: string, languages: readonly number[]): Promise<number[]> {
  const data = languages.map((i) => `--data l${i}=test${i}.jsonl`).join(" ");
  const { rows } = JSON.parse(await run(lab, "evaluate", `${model} ${data} --metric accuracy --json`)) as {
    rows: { group: string; value: number }[];
  };
  return languages.map((i) => rows.find(({ group }) => group === `l${i}` || languages.length === 1)!.value);
}

export const experiment = experimentOf({
  title: "Merging within groups: conflict and synergy",
  about: `Six languages of two families: a family changes eight of the sixteen symbols of the base's language, a language four of its
family's. From one base a model is tuned on each language (60 steps), and one on all together for as many steps or a third of them. Mean
accuracy of the next symbol over the six, of which 0.91 can be known; merges are \`task_arithmetic\` with the weights' mean, by \`--groups\`. The
paper's order for generation is groups, all, joint. Here the first holds; the joint model learns the six apart by the token that names the
language, and is ahead of both merges at equal steps. The gain of \`conflict_synergy\` is joint − own, below 0: conflict.`,
  seeds: [1, 2, 3],
  tested: 1,
  long: true,
  figures: {
    base: {},
    "each its own model": {},
    "merge by families": {},
    "merge of all": {},
    "one joint model": {},
    "one joint model, 20 steps": {},
    "joint − own": { below: 0 },
    "families − all": { above: 0.02 },
    "families − joint": {},
    "families − joint, 20 steps": {},
  },
  run: (seed) =>
    inLab(async (lab) => {
      const next = uniform(seed);
      const common = shuffled(next);
      const families = FAMILIES.map(() => changed(common, next, 8));
      lab.rows("base", rowsOf(common, 0, 300, 1000 * seed));
      for (const i of LANGUAGES) {
        const own = changed(families[i < 3 ? 0 : 1]!, next, 4);
        lab.rows(`train${i}`, rowsOf(own, i, 200, 1000 * seed + 10 + i));
        lab.rows(`test${i}`, rowsOf(own, i, 64, 1000 * seed + 20 + i));
      }
      const usual = `--batch-size 16 --warmup 5 --seed ${seed} --save-every 0`;
      await run(
        lab,
        "train",
        `${lab.fresh(CONFIG)} --data base.jsonl ${usual} --lr 0.01 --steps 80 -o base.safetensors`,
      );
      const train = (languages: readonly number[], out: string, steps = 60) => {
        const data = languages.map((i) => `--data l${i}=train${i}.jsonl`).join(" ");
        return run(lab, "train", `base.safetensors ${data} ${usual} --lr 0.003 --steps ${steps} -o ${out}.safetensors`);
      };
      for (const i of LANGUAGES) await train([i], `own${i}`);
      await train(LANGUAGES, "joint");
      await train(LANGUAGES, "short", 20);
      const merge = async (groups: readonly (readonly number[])[], out: string) => {
        const lines = groups.map(
          (group, g) => `group${g}: {${group.map((i) => `l${i}: own${i}.safetensors`).join(", ")}}`,
        );
        writeFileSync(join(lab.folder, `${out}.yml`), `${lines.join("\n")}\n`);
        const method = `--base base.safetensors --method task_arithmetic --weight ${1 / groups[0]!.length} --normalize false`;
        await run(lab, "merge", `--groups ${out}.yml ${method} -o ${out}`);
        const each: number[] = [];
        for (const [g, group] of groups.entries()) each.push(...(await accuracies(lab, `${out}/group${g}`, group)));
        return mean(each);
      };
      const own: number[] = [];
      for (const i of LANGUAGES) own.push(...(await accuracies(lab, `own${i}.safetensors`, [i])));
      const grouped = await merge(FAMILIES, "families");
      const all = await merge([LANGUAGES], "all");
      const joint = mean(await accuracies(lab, "joint.safetensors", LANGUAGES));
      const short = mean(await accuracies(lab, "short.safetensors", LANGUAGES));
      return {
        base: mean(await accuracies(lab, "base.safetensors", LANGUAGES)),
        "each its own model": mean(own),
        "merge by families": grouped,
        "merge of all": all,
        "one joint model": joint,
        "one joint model, 20 steps": short,
        "joint − own": joint - mean(own),
        "families − all": grouped - all,
        "families − joint": grouped - joint,
        "families − joint, 20 steps": grouped - short,
      };
    }),
});
