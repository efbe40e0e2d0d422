/** Colours are for terminals, and not where NO_COLOR is set. Needs `script` of util-linux for a terminal. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

setDefaultTimeout(60_000); // the machine may be busy

const DATA = fileURLToPath(new URL("../../scripts/data.ts", import.meta.url));
const hasTerminal = process.platform === "linux" && Bun.which("script") !== null;
let cwd: string;
beforeAll(() => {
  cwd = mkdtempSync(join(tmpdir(), "ingot-no-color-"));
  writeFileSync(join(cwd, "rows.jsonl"), '{"prompt":"1+2=","completion":"3"}\n');
});
afterAll(() => rmSync(cwd, { recursive: true }));

/** What `data show` writes to a terminal, or to a pipe. */
function shown(env: Record<string, string>, terminal = true): string {
  const words = [process.execPath, DATA, "show", "rows.jsonl", "--tokenizer", "byte"];
  const command = terminal ? ["script", "-qec", words.join(" "), "/dev/null"] : words;
  const { NO_COLOR: _, ...others } = process.env;
  const { stdout, exitCode } = Bun.spawnSync(command, { cwd, env: { ...others, TERM: "xterm", ...env } });
  expect(exitCode).toBe(0);
  return stdout.toString();
}

test.skipIf(!hasTerminal)("a terminal has colours unless NO_COLOR says otherwise", () => {
  expect(shown({})).toContain("\u001b[");
  expect(shown({ NO_COLOR: "1" })).not.toContain("\u001b[");
});

test("a pipe has none", () => {
  expect(shown({}, false)).not.toContain("\u001b[");
});
