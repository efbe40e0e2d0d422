/**
 * What experiments with `compress` share: a decoder of 5.5 million parameters that reads bytes, trained on the pages of
 * the packages that are installed here, and its perplexity on pages that it never saw.
 */
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { runScript } from "../support/command.ts";
import { uniform } from "./support.ts";

const MODULES = fileURLToPath(new URL("../../node_modules/", import.meta.url));
/** Bytes of a row, and one row of so many is held out. */
const [PIECE, HELD] = [600, 10];

const CONFIG = {
  model_type: "llama",
  hidden_size: 256,
  intermediate_size: 768,
  num_hidden_layers: 7,
  num_attention_heads: 8,
  num_key_value_heads: 4,
  vocab_size: 264,
  max_position_embeddings: 256,
  tie_word_embeddings: true,
  rms_norm_eps: 1e-5,
};
const READ = "--max-length 128 --batch-size 8";
const TRAIN = `--init config.json --tokenizer byte --data train.jsonl ${READ} --overflow split --steps 320 --lr 3e-3 --warmup 30 --clip 1`;

/** Pieces of the pages, in order of their files. */
export function pieces(): string[] {
  const files = [...new Bun.Glob("**/*.md").scanSync(MODULES)].sort();
  return files.flatMap((file) => {
    const text = readFileSync(join(MODULES, file), "utf8");
    return Array.from({ length: Math.ceil(text.length / PIECE) }, (_, i) => text.slice(i * PIECE, (i + 1) * PIECE));
  });
}

const jsonl = (rows: readonly string[]) => rows.map((text) => `${JSON.stringify({ text })}\n`).join("");

async function script(name: string, line: string, folder: string): Promise<string> {
  const { err, code, text } = await runScript(name, `${line} -q`.split(" "), folder);
  if (code !== 0) throw new Error(`${name} ${line}\n${err}`);
  return text;
}

/**
 * A folder with the model and its rows, in the temporary folder; made when it is first asked for, which takes some ten
 * minutes, and kept for the next run with the same pages and settings.
 */
export async function textModel(): Promise<string> {
  const rows = pieces();
  const key = createHash("sha256")
    .update(JSON.stringify([rows, CONFIG, TRAIN]))
    .digest("hex")
    .slice(0, 12);
  const folder = join(tmpdir(), `ingot-text-model-${key}`);
  if (existsSync(folder)) return folder;
  const making = `${folder}-${process.pid}`;
  mkdirSync(making);
  try {
    writeFileSync(join(making, "config.json"), JSON.stringify(CONFIG));
    writeFileSync(join(making, "train.jsonl"), jsonl(rows.filter((_, i) => i % HELD !== 0)));
    writeFileSync(join(making, "held.jsonl"), jsonl(rows.filter((_, i) => i % HELD === 0).slice(0, 48)));
    await script("train", `${TRAIN} --save-every 0 --log train.log -o model/`, making);
    renameSync(making, folder);
  } catch (error) {
    rmSync(making, { recursive: true, force: true });
    throw error;
  }
  return folder;
}

/** Compresses the model and measures what comes out. */
export class TextLab {
  readonly #folder: string;
  readonly #seed: number;

  private constructor(folder: string, seed: number) {
    this.#folder = folder;
    this.#seed = seed;
  }

  /** A seed draws 32 rows of the training data, which layers read. */
  static async open(seed: number): Promise<TextLab> {
    const folder = await textModel();
    const rows = readFileSync(join(folder, "train.jsonl"), "utf8").trim().split("\n");
    const next = uniform(seed);
    const drawn = Array.from({ length: 32 }, () => rows[Math.floor(next() * rows.length)]!);
    writeFileSync(join(folder, `calibration-${seed}.jsonl`), `${drawn.join("\n")}\n`);
    return new TextLab(folder, seed);
  }

  /** Perplexity per byte of a model, by its name in the folder. */
  async perplexity(model: string): Promise<number> {
    const text = await script(
      "evaluate",
      `${model} --data held.jsonl --metric perplexity ${READ} --json`,
      this.#folder,
    );
    const { perplexity }: { perplexity?: unknown } = JSON.parse(text);
    if (typeof perplexity !== "number") throw new Error(`no perplexity of ${model} in ${text}`);
    return perplexity;
  }

  /** Perplexity of what `compress` makes of the model. */
  async after(line: string): Promise<number> {
    const name = `${this.#seed}-${process.pid}/`;
    await script("compress", `model/ ${line} --calibration ${this.#rows} ${READ} -o ${name}`, this.#folder);
    return this.#measured(name);
  }

  /** An importance matrix of the seed's rows. */
  async importance(): Promise<string> {
    const name = `importance-${this.#seed}.gguf`;
    await script("evaluate", `imatrix model/ --data ${this.#rows} ${READ} -o ${name} --overwrite`, this.#folder);
    return name;
  }

  /** Perplexity of a GGUF file of the model. */
  async asGguf(line: string): Promise<number> {
    const name = `${this.#seed}-${process.pid}.gguf`;
    await script("merge", `model/ --method passthrough ${line} -o ${name}`, this.#folder);
    return this.#measured(name);
  }

  get #rows(): string {
    return `calibration-${this.#seed}.jsonl`;
  }

  async #measured(name: string): Promise<number> {
    const found = await this.perplexity(name);
    rmSync(join(this.#folder, name), { recursive: true });
    return found;
  }
}
