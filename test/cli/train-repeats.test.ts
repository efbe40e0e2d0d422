/** What `train` says, before it works, of rows that come again and of dropout. */
import { expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { trainLab } from "./train-lab.ts";

const { at, run } = trainLab();
const said = async (line: string) => (await run("train", [...line.split(" "), "-n"])).err;

test("a new model is told of rows that it sees again, a trained one is not", async () => {
  const sizes = { hidden_size: 8, intermediate_size: 8, num_hidden_layers: 1, num_attention_heads: 2 };
  writeFileSync(at("new.json"), JSON.stringify({ model_type: "llama", ...sizes, vocab_size: 300 }));
  const rows = "--data llama-tied-first.jsonl --batch-size 1";
  expect(await said(`--init new.json ${rows} --epochs 3`)).toContain("the rows are seen 3.0 times");
  expect(await said(`--init new.json ${rows} --steps 2 --accumulate 2`)).toContain("the rows are seen 2.0 times");
  expect(await said(`--init new.json ${rows} --steps 2`)).not.toContain("are seen");
  expect(await said(`--init new.json ${rows} --epochs 3 -q`)).toBe("");
  expect(await said(`llama-tied ${rows} --epochs 3`)).not.toContain("are seen");
});

test("dropout is told of in one pass alone", async () => {
  const rows = "lora-base --data lora-basic.jsonl --lora --batch-size 2 --lora-dropout 0.1";
  expect(await said(`${rows} --epochs 1`)).toContain("--lora-dropout 0.1 costs loss where no row is seen twice");
  expect(await said(`${rows} --epochs 2`)).not.toContain("costs loss");
});
