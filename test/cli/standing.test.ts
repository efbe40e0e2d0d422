/** Paths on the command line mean files where the user stands, however the script is started. */
import { afterAll, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { standing } from "../../src/cli/standing.ts";
import { ingotOnPath } from "../support/ingot.ts";

const PROJECT = fileURLToPath(new URL("../../", import.meta.url));
const folder = realpathSync(mkdtempSync(join(tmpdir(), "ingot-standing-")));
writeFileSync(join(folder, "rows.jsonl"), '{"text":"one"}\n');
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Runs a line of sh in the folder. */
function sh(line: string) {
  const env = { ...ingotOnPath(folder), BUN: process.execPath, PROJECT };
  const child = Bun.spawnSync(["sh", "-c", line], { cwd: folder, env });
  return { code: child.exitCode, text: child.stdout.toString(), err: child.stderr.toString() };
}

test.each([
  ["ingot", "ingot data show rows.jsonl --tokenizer byte"],
  ["bun run --cwd", '"$BUN" run --cwd "$PROJECT" data show rows.jsonl --tokenizer byte'],
  ["bun --cwd=", '"$BUN" --cwd="$PROJECT" data show rows.jsonl --tokenizer byte'],
  ["bun with the script's path", '"$BUN" "$PROJECT/scripts/data.ts" show rows.jsonl --tokenizer byte'],
])("%s reads the file that lies where it is called", (_, line) => {
  const { code, text, err } = sh(line);
  expect(code, err).toBe(0);
  expect(text).toContain("rows.jsonl:1");
});

test("bun run below the project's folder writes where it is called", () => {
  const below = join(PROJECT, "scratch", `standing-${process.pid}`);
  mkdirSync(below, { recursive: true });
  try {
    const { code, err } = sh(
      `cd '${below}' && "$BUN" run data addition --size 2 -o rows.jsonl -q && test -s rows.jsonl`,
    );
    expect(code, err).toBe(0);
  } finally {
    rmSync(below, { recursive: true });
  }
});

test("a folder from which bun run would not have found the project does not count", () => {
  mkdirSync(join(folder, "project/deep"), { recursive: true });
  const here = join(folder, "project");
  expect(standing(here, ["bun", "run", "x"], join(here, "deep"))).toBe(join(here, "deep"));
  expect(standing(here, ["bun", "run", "x"], folder)).toBeUndefined();
  expect(standing(here, ["bun", "run", "--cwd", "project", "x"], folder)).toBe(folder);
  expect(standing(here, ["bun", "run", "--cwd", "project/deep", "x"], folder)).toBeUndefined();
  expect(standing(here, ["bun", "run", "x"], undefined)).toBeUndefined();
});
