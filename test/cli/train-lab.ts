/** A folder in which `train` is run: models and rows of the goldens, and what reads its results. */
import { afterAll, beforeAll } from "bun:test";
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { runScript } from "../support/command.ts";

export const GOLDEN = fileURLToPath(new URL("../golden/train/", import.meta.url));

/** The settings that the goldens were made with. */
export const GOLDEN_OPTIONS = [
  "--batch-size 2 --steps 3 --no-shuffle --optimizer adamw --lr 0.002 --beta1 0.9 --beta2 0.95 --eps 1e-5",
  "--weight-decay 0.1 --decay-all --schedule constant --dtype f32",
]
  .join(" ")
  .split(" ");

/** Makes the folder before the tests of the file that calls it, and removes it after them. */
export function trainLab() {
  const folder = mkdtempSync(join(tmpdir(), "ingot-train-"));
  const at = (name: string) => join(folder, name);
  beforeAll(() => {
    for (const name of ["llama-tied", "lora-base", "lora-basic"])
      cpSync(join(GOLDEN, name), at(name), { recursive: true });
    for (const name of ["llama-tied", "lora-basic"]) {
      const { batches } = JSON.parse(readFileSync(join(GOLDEN, name, "case.json"), "utf8"));
      const rows = batches.flatMap(({ input_ids, labels }: { input_ids: number[][]; labels: number[][] }) =>
        input_ids.map((ids, i) => JSON.stringify({ input_ids: ids, labels: labels[i] })),
      );
      writeFileSync(at(`${name}.jsonl`), `${rows.join("\n")}\n`);
      writeFileSync(at(`${name}-first.jsonl`), `${rows.slice(0, 2).join("\n")}\n`);
    }
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  return { folder, at, run: (name: string, argv: readonly string[]) => runScript(name, argv, folder) };
}
