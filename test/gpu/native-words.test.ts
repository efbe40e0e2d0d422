/** Lines that native code writes to stderr: known ones are left out, others are handed on. */
import { expect, test } from "bun:test";
import { fileURLToPath } from "node:url";

const MODULE = fileURLToPath(new URL("../../src/gpu/native-words.ts", import.meta.url));

/** Runs a piece of a program in a process of its own; gives what it writes to stderr. */
function said(program: string): { text: string; code: number } {
  const source = `import { writeSync } from "node:fs"; import { withoutLines } from ${JSON.stringify(MODULE)};\n${program}`;
  const { stderr, exitCode } = Bun.spawnSync([process.execPath, "-e", source]);
  return { text: stderr.toString(), code: exitCode };
}

test.skipIf(process.platform === "win32")("known lines are left out, whatever is before and behind", () => {
  expect(
    said(`writeSync(2, "before\\n");
      const given = withoutLines(/^known/, () => { writeSync(2, "known 1\\nother\\nknown 2\\n"); return 7; });
      writeSync(2, \`after \${given}\\n\`);`),
  ).toEqual({ text: "before\nother\nafter 7\n", code: 0 });
});

test.skipIf(process.platform === "win32")("an error of the call goes on, and what it said before is there", () => {
  const { text, code } = said(`withoutLines(/^known/, () => { writeSync(2, "other\\n"); throw new Error("no"); });`);
  expect(code).toBe(1);
  expect(text).toStartWith("other\n");
  expect(text).toContain("no");
});
