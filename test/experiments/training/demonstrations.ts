import { Random } from "../../../src/data/random.ts";
import { inLab } from "../curriculum-lab.ts";
import { experimentOf } from "../experiment.ts";

const [TASKS, NEW, KEYS, VALUES] = [80, 40, 4, "uvwxyz01"];
const LETTERS = "abcdefghijklmnop";

/** Rows of mappings: a task, a key and a word that says nothing, and the value of the key in that task. */
function rowsOf(seed: number, tasks: readonly string[], copies: readonly number[]) {
  return tasks.flatMap((task) =>
    Array.from({ length: KEYS }, (_, key) => {
      const value = VALUES[new Random(seed, "value", task, key).below(VALUES.length)]!;
      return copies.map((copy) => {
        const noise = new Random(seed, "noise", task, key, copy).below(90) + 10;
        return { prompt: `${task} ${"ABCD"[key]}${task} ${noise}=`, completion: value };
      });
    }).flat(),
  );
}

const WAYS = {
  "no demonstrations": undefined,
  "random ones": "random",
  "retrieved ones (bm25)": "bm25",
} as const;

export const experiment = experimentOf({
  title: "`train --demos`: demonstrations that are retrieved",
  about: `Random mappings of ${KEYS} keys to ${VALUES.length} values: ${TASKS} tasks that are learnt, and ${NEW} others whose rows are in the bank alone. A prompt has the task, the
key and a word that says nothing. A decoder of two layers, 300 steps of 16 rows, with one demonstration before each or none; figures are the share
of the new tasks' rows that are answered right, with a bank of other rows of theirs, where chance is ${1 / VALUES.length}.`,
  seeds: [1, 2, 3],
  tested: 1,
  long: true,
  figures: {
    "no demonstrations": { below: 0.3 },
    "random ones": { below: 0.3 },
    "retrieved ones (bm25)": { above: 0.5 },
  },
  run: (seed) =>
    inLab(async (lab) => {
      const names = new Random(seed, "tasks").shuffled(
        [...LETTERS].flatMap((a) => [...LETTERS].map((b) => `${a}${b}`)),
      );
      const [known, fresh] = [names.slice(0, TASKS), names.slice(TASKS, TASKS + NEW)];
      lab.rows("train", rowsOf(seed, known, [0, 1, 2]));
      lab.rows("bank", rowsOf(seed, [...known, ...fresh], [3]));
      lab.rows("test", rowsOf(seed, fresh, [4]));
      const start = lab.fresh({
        ...{ model_type: "llama", hidden_size: 48, intermediate_size: 96, num_hidden_layers: 2 },
        ...{ num_attention_heads: 4, num_key_value_heads: 4, vocab_size: 264, max_position_embeddings: 64 },
      });
      const how = `--batch-size 16 --steps 300 --lr 3e-3 --save-every 0 --seed ${seed} --overwrite`;
      const figures: Record<string, number> = {};
      for (const [way, by] of Object.entries(WAYS)) {
        const shown = by ? `--demos bank.jsonl --demo-count 1 --demo-retriever ${by}` : "";
        await lab.script("train", `${start} --tokenizer byte --data train.jsonl ${shown} ${how} -o model/`);
        const count = by ? `--demo-count 1 --retriever ${by}` : "--demo-count 0";
        await lab.script(
          "data",
          `demos test.jsonl --bank bank.jsonl ${count} --seed ${seed} -o asked-${by ?? "none"}.jsonl`,
        );
        const line = `model/ --data asked-${by ?? "none"}.jsonl --metric sequence-accuracy --json`;
        const told = JSON.parse(await lab.script("evaluate", line)) as Record<string, number>;
        figures[way] = told["sequence-accuracy"]!;
      }
      return figures;
    }),
});
