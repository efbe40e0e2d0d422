/** Numbers in tokens: as good as a regressor's, and asked back of a model's own texts. */
import { rankCorrelation } from "../../../src/run/probing/rank-correlation.ts";
import { inLab } from "../curriculum-lab.ts";
import { experimentOf } from "../experiment.ts";

const DECODER = {
  ...{ model_type: "llama", vocab_size: 300, hidden_size: 64, intermediate_size: 128, num_hidden_layers: 2 },
  ...{ num_attention_heads: 4, num_key_value_heads: 4, max_position_embeddings: 64, rms_norm_eps: 1e-5 },
  ...{ rope_theta: 10_000, bos_token_id: 256, eos_token_id: 257 },
};
const LETTERS = [..."abcdefgh"];

interface Said {
  readonly text: string;
  readonly value: number;
}

const parsed = <T>(text: string): T[] =>
  text
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as T);

export const experiment = experimentOf({
  title: "`alternate`: a number of a text, and a text of a number (Regression Transformer)",
  about: `1500 strings of three to eight letters with the mean worth of their letters, one decimal; 200 of the test. A byte-level decoder of two layers with
tokens for digits at their places, 1600 steps of 32 rows, the objectives in turns of 10 steps; *read back* with \`--read-back 1\`. Errors are root
mean squares; a regressor (\`mlp\`) sees counts of letters. Rank correlations are of the number that was asked for with the true number of the
string that the model wrote for it. Against the card, reading back raises neither: strings are right as often without, once training is long.`,
  seeds: [1, 2, 3],
  tested: 1,
  long: true,
  figures: {
    "error, deviation of the numbers": {},
    "error, regressor": {},
    "error, numbers alone": {},
    "error, alternating": {},
    "error, read back": {},
    "read back − deviation": { below: -0.5 },
    "rank correlation, alternating": {},
    "rank correlation, read back": { above: 0.5 },
  },
  run: (seed) =>
    inLab(async (lab) => {
      const strings = async (split: string, size: number): Promise<Said[]> =>
        parsed<Said>(await lab.script("data", `strings --size ${size} --split ${split} --seed ${seed}`));
      const facts = JSON.parse(await lab.script("data", `strings --size 1 --seed ${seed} --json`)) as {
        worths: Record<string, number>;
      };
      const worth = (text: string) => [...text].reduce((sum, letter) => sum + facts.worths[letter]!, 0) / text.length;
      const sets = { train: await strings("train", 1500), test: await strings("test", 200) };
      const files: Record<string, string> = {};
      for (const [name, rows] of Object.entries(sets)) {
        const from = lab.rows(name, rows);
        for (const ask of ["number", "text"]) {
          files[`${ask}-${name}`] = `${ask}-${name}.jsonl`;
          await lab.script("data", `numeric ${from} --digits 1.1 --ask ${ask} -o ${ask}-${name}.jsonl`);
        }
        const counts = rows.map(({ text, value }) => ({
          x: LETTERS.map((letter) => [...text].filter((own) => own === letter).length / text.length),
          y: [value],
        }));
        files[`counts-${name}`] = lab.rows(`counts-${name}`, counts);
      }
      const fresh = `${lab.fresh(DECODER)} --tokenizer byte --data number-train.jsonl --steps 1 --lr 1e-9`;
      await lab.script("train", `${fresh} --seed ${seed} --batch-size 2 --save-every 0 -o base/`);
      await lab.script("merge", "base --method passthrough --numeric-tokens 1.1 -o start/");
      const error = async (model: string) => {
        const text = await lab.script("evaluate", `${model} --data number-test.jsonl --metric number-error --json`);
        return (JSON.parse(text) as { "number-error": number })["number-error"];
      };
      const trained = async (name: string, data: string, method: string, steps: number) => {
        await lab.run(
          `start ${data} --batch-size 32 --lr 0.002 --schedule cosine --steps ${steps} --seed ${seed} ${method}`,
          `${name}/`,
        );
        return error(name);
      };
      const number = "--data number=number-train.jsonl";
      const both = `${number} --data text=text-train.jsonl`;
      const alone = await trained("alone", number, "--method static", 800);
      const turns = await trained("turns", both, "--method alternate --every 10", 1600);
      const back = await trained("back", both, "--method alternate --every 10 --read-back 1", 1600);
      const correlation = async (model: string) => {
        const written = await lab.script("sample", `${model} --prompts text-test.jsonl --temperature 0 --json`);
        const samples = parsed<{ text: string }>(written);
        const texts = samples.map(({ text }) => text.replaceAll(/[^a-h]/g, ""));
        return rankCorrelation(
          texts.map((text) => (text === "" ? 0 : worth(text))),
          sets.test.map(({ value }) => value),
        );
      };
      const values = sets.test.map(({ value }) => value);
      const middle = values.reduce((a, b) => a + b, 0) / values.length;
      const deviation = Math.sqrt(values.reduce((sum, value) => sum + (value - middle) ** 2, 0) / values.length);
      const net = lab.fresh(
        { model_type: "mlp", input_size: 8, hidden_sizes: [32], num_labels: 1, problem_type: "regression" },
        "net",
      );
      const regressor = `${net} --data ${files["counts-train"]} --loss mse --steps 400 --batch-size 32 --lr 0.01`;
      await lab.script("train", `${regressor} --seed ${seed} --save-every 0 -o regressor.safetensors`);
      const mse = JSON.parse(
        await lab.script("evaluate", `regressor.safetensors --data ${files["counts-test"]} --metric mse --json`),
      ) as { mse: number };
      return {
        "error, deviation of the numbers": deviation,
        "error, regressor": Math.sqrt(mse.mse),
        "error, numbers alone": alone,
        "error, alternating": turns,
        "error, read back": back,
        "read back − deviation": back - deviation,
        "rank correlation, alternating": await correlation("turns"),
        "rank correlation, read back": await correlation("back"),
      };
    }),
});
