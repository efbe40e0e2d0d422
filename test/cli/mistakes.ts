/**
 * A shop of small models and rows, and mistakes that users make in it: a command as typed, what the message says, and
 * the command as the message corrects it, which is run as it stands.
 */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { ingotOnPath } from "../support/ingot.ts";
import { servedEnvironment } from "../support/served/served.ts";

interface Mistake {
  /** What was typed. */
  readonly typed: string;
  /** The essential words of the message. */
  readonly says: string;
  /** The command as the message corrects it; every word that was not typed is from the message or from `own`. */
  readonly follow: string;
  /** What the corrected command prints, or the path that it makes. */
  readonly gives: RegExp | string;
  /** Words that the message leaves to the user: which rows, which model. */
  readonly own?: string;
}

const PROJECT = fileURLToPath(new URL("../../", import.meta.url));
const CONFIG = {
  ...{ model_type: "llama", architectures: ["LlamaForCausalLM"], vocab_size: 259, hidden_size: 16, head_dim: 8 },
  ...{ intermediate_size: 32, num_hidden_layers: 2, num_attention_heads: 2, num_key_value_heads: 1 },
  ...{ max_position_embeddings: 128, rms_norm_eps: 1e-5, tie_word_embeddings: true },
};
const RECIPE = `merge_method: ties
base_model: base
models:
  - {model: one, parameters: {weight: 0.5, density: 0.5}}
  - {model: two, parameters: {weight: 0.5, density: 0.5}}
dtype: float32
`;
const MAKE = `
ingot data addition --size 12 -o a.jsonl
ingot data addition --size 12 --seed 1 -o b.jsonl
for part in forget retain holdout; do ingot data facts --people 4 --forget-share 0.25 --part $part --size 6 -o $part.jsonl; done
ingot train --init tiny.json --tokenizer byte --data a.jsonl --steps 1 --batch-size 2 -o base/
ingot train base/ --data a.jsonl --steps 1 --batch-size 2 --lr 1e-2 -o one/ --log run.jsonl
ingot train base/ --data b.jsonl --steps 1 --batch-size 2 --lr 1e-2 -o two/
ingot curriculum graph --data a=a.jsonl --data b=b.jsonl --edges a:b -o graph.json
`;

/** Runs lines of sh in a folder, without what the test's own runner set. */
async function sh(line: string, folder: string): Promise<{ code: number; text: string }> {
  const child = Bun.spawn(["sh", "-ec", line], {
    cwd: folder,
    env: { ...ingotOnPath(folder, PROJECT), ...(await servedEnvironment()), COLUMNS: "80" },
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  const [out, err, code] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
  return { code, text: `${out}${err}` };
}

type MistakeShop = Awaited<ReturnType<typeof mistakeShop>>;

/** A folder with a base, two fine-tunes, rows, a recipe and a graph. */
async function mistakeShop() {
  const folder = mkdtempSync(join(tmpdir(), "ingot-mistakes-"));
  writeFileSync(join(folder, "tiny.json"), JSON.stringify(CONFIG));
  writeFileSync(join(folder, "recipe.yml"), RECIPE);
  writeFileSync(join(folder, "pairs.jsonl"), '{"ask":"1+1=","reply":"2"}\n{"ask":"1+2=","reply":"3"}\n');
  writeFileSync(join(folder, "choice.jsonl"), '{"question":"1+1=","choices":["2","3"],"answer":0}\n');
  writeFileSync(join(folder, "lines.txt"), "one line\nand another\n");
  const { code, text } = await sh(MAKE, folder);
  if (code !== 0) throw new Error(text);
  return { folder, run: (line: string) => sh(line, folder), close: () => rmSync(folder, { recursive: true }) };
}

/** Words of a command or a message, without the punctuation around them. */
const wordsOf = (text: string): string[] =>
  text
    .split(/\s+/)
    .map((word) => word.replace(/^[`'"(]+|[`'",;:.?)]+$/g, ""))
    .filter((word) => word !== "");

/** Words of the corrected command that neither the user typed nor the message said. */
function invented({ typed, follow, own = "" }: Mistake, message: string): string[] {
  const known = new Set(wordsOf(`${typed} ${own} ${message}`).flatMap((word) => [word, ...word.split("=")]));
  return wordsOf(follow).filter((word) => !word.split("=").every((part) => known.has(part)) && !known.has(word));
}

/** Makes a mistake, reads the message, follows it, and looks at what comes of it. */
async function followed({ folder, run }: MistakeShop, mistake: Mistake): Promise<void> {
  const first = await run(mistake.typed);
  expect(first.code, first.text).toBe(2);
  expect(first.text).toContain(mistake.says);
  expect(invented(mistake, first.text)).toEqual([]);
  const second = await run(mistake.follow);
  expect(second.code, second.text).toBe(0);
  if (typeof mistake.gives === "string") expect(existsSync(join(folder, mistake.gives))).toBe(true);
  else expect(second.text).toMatch(mistake.gives);
}

/** A test for each mistake, in one shop. */
export function testMistakes(mistakes: readonly Mistake[]): void {
  setDefaultTimeout(120_000);
  let shop: MistakeShop;
  beforeAll(async () => {
    shop = await mistakeShop();
  });
  afterAll(() => shop.close());
  test.each(mistakes)("$typed", (mistake) => followed(shop, mistake));
}
