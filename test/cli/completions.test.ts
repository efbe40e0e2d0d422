/** `ingot completions` and `ingot man`, as real shells and readers of manual pages take them. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { run } from "../../src/setup/run.ts";

const INGOT = fileURLToPath(new URL("../../scripts/ingot.ts", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "ingot-completions-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const ingot = (...args: string[]) => run([process.execPath, INGOT, ...args], { cwd: folder });
const there = (program: string) => Bun.which(program) !== null;

beforeAll(async () => {
  for (const shell of ["bash", "zsh", "fish"]) {
    const { code, stdout, stderr } = await ingot("completions", shell);
    expect([shell, code, stderr]).toEqual([shell, 0, ""]);
    writeFileSync(join(folder, `ingot.${shell}`), stdout);
  }
});

const LINES: readonly (readonly [typed: string, some: readonly string[], none: readonly string[]])[] = [
  ["mer", ["merge"], ["train"]],
  ["merge --method ti", ["ties"], ["linear"]],
  ["merge --dens", ["--density"], ["--dtype"]],
  ["train --optimizer ada", ["adamw", "adan"], ["sgd"]],
  ["curriculum sel", ["select"], ["plan"]],
  ["curriculum select --select-by cra", ["craig"], []],
  ["curriculum select --keep", ["--keep-rows"], ["--overwrite"]],
  ["train --no-mode", ["--no-mode-tokens"], []],
  ["doc", ["doctor"], []],
];

/** What bash would offer: the function that is registered, called as bash calls it. */
async function offers(shell: "bash" | "zsh", typed: string): Promise<string[]> {
  const words = ["ingot", ...typed.split(" ")];
  const setUp = shell === "zsh" ? "autoload -Uz compinit && compinit -u -D; setopt ksharrays; " : "";
  const call = `COMP_WORDS=(${words.join(" ")}); COMP_CWORD=${words.length - 1}; _ingot; printf '%s\\n' "\${COMPREPLY[@]}"`;
  const { stdout, stderr, code } = await run([shell, "-c", `${setUp}. ./ingot.${shell}; ${call}`], { cwd: folder });
  expect([typed, code, stderr]).toEqual([typed, 0, ""]);
  const found = stdout.split("\n").filter((word) => word !== "");
  // zsh leaves out by itself what does not begin as the word does.
  return shell === "zsh" ? found.filter((word) => word.startsWith(words.at(-1)!)) : found;
}

describe.each(["bash", "zsh"] as const)("%s", (shell) => {
  test.skipIf(!there(shell)).each(LINES)("ingot %s", async (typed, some, none) => {
    const found = await offers(shell, typed);
    for (const word of some) expect(found).toContain(word);
    for (const word of none) expect(found).not.toContain(word);
  });

  test.skipIf(!there(shell))(
    "a value of which there is no list is left to the shell, which completes files",
    async () => {
      expect(await offers(shell, "merge --base m")).toEqual([]);
    },
  );
});

test.skipIf(!there("fish")).each(LINES)("fish: ingot %s", async (typed, some, none) => {
  const command = `source ingot.fish; complete -C ${JSON.stringify(`ingot ${typed}`)}`;
  const { stdout, stderr } = await run(["fish", "--no-config", "-c", command], { cwd: folder });
  expect(stderr).toBe("");
  const found = stdout.split("\n").map((line) => line.split("\t")[0]!);
  for (const word of some) expect(found).toContain(word);
  for (const word of none) expect(found).not.toContain(word);
});

test.each([
  ["completions tcsh", "expected a shell but found tcsh"],
  ["completions", "expected a shell but found nothing"],
  ["completions bash zsh", "completions takes one name, and zsh is another"],
  ["man marge", "did you mean merge?"],
  ["man", "man takes the name of a script"],
  ["man doctor", "doctor has no manual page"],
  ["man merge train", "man takes one name, and train is another"],
])("ingot %s is refused in a line", async (typed, words) => {
  const { code, stdout, stderr } = await ingot(...typed.split(" "));
  expect([code, stdout, stderr.trim().split("\n").length]).toEqual([2, "", 2]); // what is wrong, and what to do
  expect(stderr).toContain(words);
});

describe("man", () => {
  test("a page has what the help has: what it is, examples, options, sub-commands", async () => {
    const { code, stdout } = await ingot("man", "curriculum");
    expect(code).toBe(0);
    for (const part of [".SH NAME", ".SH SYNOPSIS", ".SH EXAMPLES", ".SH OPTIONS", ".SH COMMANDS"])
      expect(stdout).toContain(`\n${part}\n`);
    expect(stdout).toContain(".SS ingot curriculum select\n");
    expect(stdout).toContain(".TP\n\\fB\\-\\-method\\fR \\fIVALUE\\fR\n");
  });

  test.skipIf(!there("groff"))("groff sets every page without a word", async () => {
    for (const script of ["merge", "train", "curriculum"]) {
      writeFileSync(join(folder, `${script}.1`), (await ingot("man", script)).stdout);
      const { code, stdout, stderr } = await run(["groff", "-man", "-Tutf8", "-ww", `${script}.1`], { cwd: folder });
      expect([script, code, stderr]).toEqual([script, 0, ""]);
      expect(stdout.length).toBeGreaterThan(1000);
    }
  });
});
