/** A server of tiny models in a process of its own, and what asks it. */
import { afterAll, beforeAll } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runScript, startScript } from "../../support/command.ts";

const SIZES = {
  ...{ model_type: "llama", hidden_size: 8, intermediate_size: 16, num_hidden_layers: 1, num_attention_heads: 2 },
  ...{ vocab_size: 264, max_position_embeddings: 96, initializer_range: 0.5 },
};

export interface Running {
  readonly url: string;
  readonly pid: number;
  /** Ends it by a signal; gives the exit code and all that it said. */
  stop(signal?: NodeJS.Signals): Promise<{ code: number; err: string }>;
}

/** Starts `serve` at a free port and waits until it listens. */
export async function startServer(
  argv: readonly string[],
  cwd: string,
  env: Record<string, string> = {},
): Promise<Running> {
  const child = startScript("serve", [...argv, "--port", "0"], cwd, env);
  const decoder = new TextDecoder();
  let err = "";
  const told = Promise.withResolvers<string>();
  const read = (async () => {
    for await (const part of child.stderr) {
      err += decoder.decode(part, { stream: true });
      const url = /at (http:\/\/\S+:\d+);/.exec(err)?.[1];
      if (url) told.resolve(url);
    }
    told.reject(new Error(err));
  })();
  const url = await told.promise;
  return {
    url,
    pid: child.pid,
    async stop(signal = "SIGTERM") {
      child.kill(signal);
      const code = await child.exited;
      await read;
      return { code, err };
    },
  };
}

/** Makes models `a/` and `b/` and `rows.jsonl` in a folder. */
export async function makeModels(folder: string): Promise<void> {
  writeFileSync(join(folder, "rows.jsonl"), `${JSON.stringify({ text: "12+30=42" })}\n`);
  writeFileSync(join(folder, "tiny.json"), JSON.stringify(SIZES));
  for (const [seed, out] of [
    ["0", "a/"],
    ["1", "b/"],
  ] as const) {
    const argv = ["--tokenizer", "byte", "--data", "rows.jsonl", "--steps", "1", "--batch-size", "1"];
    const all = ["--init", "tiny.json", ...argv, "--seed", seed, "-o", out, "-q"];
    const { code, err } = await runScript("train", all, folder);
    if (code !== 0) throw new Error(err);
  }
}

/** A folder with models, made before the tests of the file that calls it. */
export function servingLab() {
  const folder = mkdtempSync(join(tmpdir(), "ingot-serving-"));
  beforeAll(() => makeModels(folder));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  return { folder, run: (script: string, ...argv: string[]) => runScript(script, argv, folder) };
}

/** What is at an address, as JSON. */
export const readJson = async (address: string) => JSON.parse(await (await fetch(address)).text());

/** Asks for JSON. */
export async function ask(url: string, path: string, body: unknown, headers: Record<string, string> = {}) {
  const response = await fetch(`${url}${path}`, {
    method: "POST",
    headers: { "content-type": "application/json", ...headers },
    body: typeof body === "string" ? body : JSON.stringify(body),
  });
  return { status: response.status, headers: response.headers, body: JSON.parse(await response.text()) };
}
