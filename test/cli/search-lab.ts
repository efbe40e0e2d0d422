/** A folder with two tunings of a tiny model, `math` and `code`, for tests of searches. */
import { beforeAll, expect } from "bun:test";
import { runScript } from "../support/command.ts";
import { trainLab } from "./train-lab.ts";

/** Lays the folder out before the tests of a file. */
export function searchLab() {
  const { at, folder } = trainLab();
  /** Runs a script: `text` is what stderr has, `out` what stdout has. */
  const script = async (name: string, args: string) => {
    const { code, err, text } = await runScript(name, args.split(" "), folder);
    return { code, text: err, out: text };
  };
  beforeAll(async () => {
    for (const [seed, name] of ["math", "code"].entries()) {
      const usual = "--data llama-tied-first.jsonl --steps 2 --batch-size 2 --lr 5e-2";
      const { code, text } = await script("train", `llama-tied ${usual} --seed ${seed + 1} -o ${name}/`);
      expect(code, text).toBe(0);
    }
  }, 120_000);
  return { at, folder, script };
}
