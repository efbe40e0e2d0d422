import { inLab } from "../curriculum-lab.ts";
import { experimentOf } from "../experiment.ts";
import { uniform } from "../support.ts";

const LAYERS = 8;
const STEPS = 500;

/** Rows to copy a letter, and sums of two digits below 5. */
function rowsOf(count: number, seed: number, kind: "copy" | "sum") {
  const next = uniform(seed);
  const below = (n: number) => Math.floor(next() * n);
  return Array.from({ length: count }, () => {
    if (kind === "copy") {
      const letter = "abcdefghij"[below(10)]!;
      return { prompt: `copy ${letter}=`, completion: letter };
    }
    const [a, b] = [below(5), below(5)];
    return { prompt: `${a} + ${b} =`, completion: `${a + b}` };
  });
}

interface Told {
  readonly layers: number;
  readonly accuracy: number;
  readonly groups: readonly { readonly name: string; readonly layers: number }[];
}

export const experiment = experimentOf({
  title: "Routers that leave layers out of prompts that are easy",
  about: `A decoder of ${LAYERS} layers of width 32, trained for ${STEPS} steps of 16 rows, half of which copy a letter and half add two digits. Ways are
searched for 300 rows, 30 for each, and routers fitted to them for 12 passes. 400 other rows, of which many are the same as ones that were learnt, since there are few:
what is told is how many layers an answer needs, not how well sums generalise. *Accuracy* is the share of answers that greedy decoding gives to the letter;
*chance* runs as many layers for every row that are drawn. A dial of -0.6 mixes the routers' choice with skipping.`,
  seeds: [1],
  tested: 1,
  long: true,
  figures: {
    "whole model, accuracy": {},
    "routers, layers": { below: 7 },
    "routers, layers for copies": {},
    "routers, layers for sums": {},
    "routers, accuracy": {},
    "chance, accuracy": {},
    "routers − chance, accuracy": { above: 0.1 },
    "dial -0.6, layers": {},
    "dial -0.6, accuracy": {},
    "dial -0.6, chance, accuracy": {},
  },
  run: (seed) =>
    inLab(async (lab) => {
      const both = (count: number, at: number) => [...rowsOf(count, at, "copy"), ...rowsOf(count, at + 1, "sum")];
      lab.rows("train", both(600, 10 * seed));
      lab.rows("search", both(150, 10 * seed + 2));
      lab.rows("copy", rowsOf(200, 10 * seed + 4, "copy"));
      lab.rows("sum", rowsOf(200, 10 * seed + 5, "sum"));
      const config = {
        ...{ model_type: "llama", hidden_size: 32, intermediate_size: 64, num_hidden_layers: LAYERS },
        ...{ num_attention_heads: 4, num_key_value_heads: 2, vocab_size: 264, max_position_embeddings: 32 },
      };
      await lab.script(
        "train",
        `${lab.fresh(config)} --tokenizer byte --data train.jsonl --batch-size 16 --steps ${STEPS} --lr 3e-3 --seed ${seed} --save-every 0 -o model/`,
      );
      await lab.script(
        "train",
        `route-search model/ --data search.jsonl --rounds 30 --mended 0 --seed ${seed} -o ways.jsonl`,
      );
      await lab.script(
        "train",
        `routers model/ --data ways.jsonl --epochs 12 --warmup 5 --accumulate 4 --lr 3e-3 --seed ${seed} -o routers.safetensors`,
      );
      const text = await lab.script(
        "evaluate",
        `routers model/ --routers routers.safetensors --data copy=copy.jsonl --data sum=sum.jsonl --dial -0.5,-0.6 --seed ${seed} --json`,
      );
      const { whole, dials } = JSON.parse(text) as { whole: Told; dials: { routers: Told; random: Told }[] };
      const [own, lower] = dials;
      const layersOf = (name: string) => own!.routers.groups.find((group) => group.name === name)!.layers;
      return {
        "whole model, accuracy": whole.accuracy,
        "routers, layers": own!.routers.layers,
        "routers, layers for copies": layersOf("copy"),
        "routers, layers for sums": layersOf("sum"),
        "routers, accuracy": own!.routers.accuracy,
        "chance, accuracy": own!.random.accuracy,
        "routers − chance, accuracy": own!.routers.accuracy - own!.random.accuracy,
        "dial -0.6, layers": lower!.routers.layers,
        "dial -0.6, accuracy": lower!.routers.accuracy,
        "dial -0.6, chance, accuracy": lower!.random.accuracy,
      };
    }),
});
