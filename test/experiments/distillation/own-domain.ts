import { Random } from "../../../src/data/random.ts";
import { inLab } from "../curriculum-lab.ts";
import { type Bound, experimentOf } from "../experiment.ts";

/** Tasks on words of letters; each is a domain with an instruction word of its own. */
const DOMAINS: Readonly<Record<string, (word: string) => string>> = {
  loud: (word) => word.toUpperCase(),
  back: (word) => [...word].reverse().join(""),
  twice: (word) => [...word].map((letter) => letter + letter).join(""),
  last: (word) => word.at(-1)!,
};
const DOMAIN = "back";
const bounds: Readonly<Record<string, Bound>> = {
  "own − base": { below: -0.3 },
  "own − general": { below: -0.3 },
};

const wordOf = (random: Random) => Array.from({ length: 3 }, () => "abcdefgh"[random.below(8)]!).join("");

export const experiment = experimentOf({
  title: "`self-specialize`: rows of one domain that a model writes itself",
  about: `Four tasks on words of three letters, each with an instruction word; a llama of width 64 learns texts of three questions of all four for 500 steps. From 12 seeds it
writes up to 60 rows, of one domain or of all, at a temperature of 0.7, and learns them by LoRA of rank 8 for 60 steps. Losses of answers to 60 held-out
questions of that domain, and of the other three.`,
  seeds: [1, 2, 3],
  tested: 1,
  long: true,
  figures: Object.fromEntries(
    [
      ...["base", "own domain", "general"].flatMap((name) => [`${name}: loss`, `${name}: loss of others`]),
      "own domain: rows",
      ...Object.keys(bounds),
    ].map((name) => [name, bounds[name] ?? {}]),
  ),
  run: (seed) =>
    inLab(async (lab) => {
      const question = (domain: string, random: Random) => {
        const word = wordOf(random);
        return { instruction: `${domain} ${word}`, answer: DOMAINS[domain]!(word) };
      };
      const names = Object.keys(DOMAINS);
      const text = new Random(seed, "texts");
      lab.rows(
        "texts",
        Array.from({ length: 600 }, () => {
          // A text stays in its domain, as texts do.
          const domain = text.pick(names);
          const asked = Array.from({ length: 3 }, () => question(domain, text));
          return { text: asked.map(({ instruction, answer }) => `Q: ${instruction}\nA: ${answer}\n\n`).join("") };
        }),
      );
      const rowsOf = (name: string, domains: readonly string[], count: number, form: boolean) => {
        const random = new Random(seed, name);
        const rows = Array.from({ length: count }, (_, i) => question(domains[i % domains.length]!, random));
        lab.rows(
          name,
          rows.map(({ instruction, answer }) => ({
            prompt: form ? `Q: ${instruction}\nA: ` : instruction,
            completion: answer,
          })),
        );
      };
      rowsOf("own-seeds", [DOMAIN], 12, false);
      rowsOf("general-seeds", names, 12, false);
      rowsOf("held", [DOMAIN], 60, true);
      rowsOf(
        "others",
        names.filter((name) => name !== DOMAIN),
        60,
        true,
      );
      lab.fresh({
        ...{ model_type: "llama", hidden_size: 64, intermediate_size: 128, num_hidden_layers: 2 },
        ...{ num_attention_heads: 4, num_key_value_heads: 4, vocab_size: 264, max_position_embeddings: 160 },
        ...{ tie_word_embeddings: true, initializer_range: 0.05 },
      });
      const rest = `--seed ${seed} --save-every 0 --overwrite`;
      await lab.script(
        "train",
        `--init fresh.json --tokenizer byte --data texts.jsonl --batch-size 16 --steps 500 --lr 4e-3 --warmup 50 --clip 1 ${rest} -o base/`,
      );
      const figures: Record<string, number> = {};
      const judge = async (name: string, model: string) => {
        for (const [what, file] of [
          ["loss", "held"],
          ["loss of others", "others"],
        ] as const) {
          const said = await lab.script("evaluate", `${model} --data ${file}.jsonl --metric loss --json`);
          figures[`${name}: ${what}`] = (JSON.parse(said) as { loss: number }).loss;
        }
      };
      await judge("base", "base/");
      for (const [name, seeds] of [
        ["own domain", "own"],
        ["general", "general"],
      ] as const) {
        const argv = [
          "self-specialize",
          "base/",
          "--seeds",
          `${seeds}-seeds.jsonl`,
          "--size",
          "60",
          "--attempts",
          "120",
        ];
        const form = ["--ask", "Q: ", "--reply", "\nA: ", "--end", "\n\n", "--most-alike", "1", "--shown", "3"];
        const bounds = [
          "--instruction-tokens",
          "16",
          "--answer-tokens",
          "12",
          "--batch-size",
          "30",
          "--seed",
          `${seed}`,
        ];
        const told = await lab.words("distill", [...argv, ...form, ...bounds, "--json", "-o", `${seeds}.jsonl`]);
        if (seeds === "own") figures["own domain: rows"] = (JSON.parse(told) as { rows: number }).rows;
        await lab.script(
          "train",
          `base/ --data ${seeds}.jsonl --lora --lora-rank 8 --steps 60 --batch-size 16 --lr 3e-3 ${rest} -o ${seeds}-adapter/`,
        );
        await judge(name, `base/+${seeds}-adapter/`);
      }
      return {
        ...figures,
        "own − base": figures["own domain: loss"]! - figures["base: loss"]!,
        "own − general": figures["own domain: loss"]! - figures["general: loss"]!,
      };
    }),
});
