/** README and docs say what is true: their tables are those of the method files, and their commands exist. */
import { expect, test } from "bun:test";
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { listed, pages, withTables } from "../../docs/generate.ts";
import pkg from "../../package.json";
import { kinds } from "../../src/method/registry.ts";

const root = fileURLToPath(new URL("../../", import.meta.url));
const readme = readFileSync(`${root}README.md`, "utf8");
const docs = pages();

test("the tables of methods are current (bun docs/generate.ts)", async () => {
  for (const text of docs.values()) expect(await withTables(text)).toBe(text);
});

test("every kind of method has one table", () => {
  expect([...docs.values()].flatMap(listed).sort()).toEqual(kinds().sort());
});

test("the README is short", () => expect(readme.trimEnd().split("\n").length).toBeLessThanOrEqual(220));

test("every page that a page links to exists", () => {
  for (const [file, text] of [
    ["README.md", readme],
    ["ARCHITECTURE.md", readFileSync(`${root}ARCHITECTURE.md`, "utf8")],
    ...[...docs].map(([name, page]) => [`docs/${name}`, page] as const),
  ] as const)
    for (const [, target] of text.matchAll(/\]\((?!https?:)([^)#]+)(?:#[^)]*)?\)/g))
      expect([file, target, existsSync(join(root, file, "..", target!))]).toEqual([file, target, true]);
});

test("every script that README and docs run exists", () => {
  const named = [readme, ...docs.values()].flatMap((text) =>
    [...text.matchAll(/bun(?:@[\d.]+)? run (\w+)/g)].map(([, name]) => name!),
  );
  expect(named.length).toBeGreaterThan(50);
  for (const name of named) expect(Object.keys(pkg.scripts)).toContain(name);
  for (const command of Object.values(pkg.scripts)) expect(existsSync(`${root}${command.split(" ")[1]}`)).toBe(true);
});

const guide = docs.get("adding-a-method.md")!;

test("the examples of adding-a-method run", async () => {
  const files = [...guide.matchAll(/```ts\n\/\/ (src\/\S+)\n([\s\S]*?)```/g)].map(
    ([, file, text]) => [file!, text!] as const,
  );
  expect(files.map(([file]) => file.split("/")[1])).toEqual(["distill", "unlearn", "curriculum", "merge"]);
  for (const [, text] of files) expect(text.trim().split("\n").length).toBeLessThanOrEqual(30);
  const folder = mkdtempSync(join(tmpdir(), "ingot-readme-"));
  try {
    for (const part of ["src", "scripts", "wgsl", "package.json"])
      cpSync(root + part, join(folder, part), { recursive: true });
    symlinkSync(`${root}node_modules`, join(folder, "node_modules"));
    for (const [file, text] of files) {
      expect(existsSync(join(folder, file))).toBe(false);
      writeFileSync(join(folder, file), text);
    }
    const config = {
      model_type: "llama",
      hidden_size: 8,
      intermediate_size: 16,
      num_hidden_layers: 1,
      num_attention_heads: 2,
    };
    writeFileSync(
      join(folder, "tiny.json"),
      JSON.stringify({ ...config, vocab_size: 264, max_position_embeddings: 16 }),
    );
    writeFileSync(join(folder, "rows.jsonl"), '{"text": "one"}\n{"text": "two"}\n');
    const some = "--data a=rows.jsonl --steps 2 --batch-size 2";
    for (const line of [
      `train --init tiny.json --tokenizer byte ${some} -o base`,
      `train base ${some} --lr 1e-2 -o tuned`,
      `distill --method jeffreys --teacher tuned --student base ${some} -o jeffreys`,
      "unlearn base --method fade --strength 2 --forget rows.jsonl -o fade",
      `curriculum base --method hardest --power 2 --every 1 ${some} --data b=rows.jsonl --eval-data a=rows.jsonl --eval-data b=rows.jsonl -o hardest`,
      "merge tuned --base base --method halfway -o halfway",
    ]) {
      const [script, ...args] = line.split(" ");
      const child = Bun.spawnSync([process.execPath, join(folder, "scripts", `${script}.ts`), ...args], {
        cwd: folder,
      });
      expect(child.exitCode, `${line}\n${child.stderr}`).toBe(0);
    }
    const [base, ...made] = await Promise.all(
      ["base", "jeffreys", "fade", "hardest", "halfway"].map((name) =>
        Bun.file(join(folder, name, "model.safetensors")).bytes(),
      ),
    );
    for (const bytes of made) expect(Buffer.compare(bytes, base!)).not.toBe(0);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}, 60_000);
