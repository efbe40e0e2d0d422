/** Tables of LaTeX: what is written is checked here, and compiled where the machine has a LaTeX. */
import { expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { latexDocument, latexText } from "../../src/text/latex.ts";
import type { Sheet } from "../../src/text/sheet.ts";

const ODD = "_%&#$~^\\{}<>|\"'`*[x]--é±×…–中🙂\u200bß";

const SHEET: Sheet = {
  header: ["model_1", "100 %"],
  align: "lr",
  blocks: [
    {
      title: ODD,
      rows: [
        [{ text: ODD }, { text: "-0.5±0.1", strong: true }],
        [{ text: "[x] * first" }, { text: "" }],
      ],
    },
    { rows: [[{ text: "b" }, { text: "2" }]] },
  ],
  notes: ["Bold: best.", ODD],
};

test("every character that TeX reads otherwise is written as TeX writes it", () => {
  expect(latexText("a_b 5% c&d #1 $x")).toBe("a\\_b 5\\% c\\&d \\#1 \\$x");
  expect(latexText("~^\\{}")).toBe("\\textasciitilde{}\\textasciicircum{}\\textbackslash{}\\{\\}");
  expect(latexText("<|>±×")).toBe("$<$$|$$>$$\\pm$$\\times$");
  expect(latexText("a--b---c")).toBe("a-{}-b-{}-{}-c");
  expect(latexText("é ß")).toBe("é ß");
  expect(latexText("e\u0301")).toBe("é");
  expect(latexText("中Ł")).toBe("{[}U+4E2D{]}{[}U+0141{]}");
});

test("environments are balanced, every row has its columns, a number's sign is a minus", () => {
  const text = latexDocument([SHEET, SHEET]);
  for (const name of ["tabular", "document"])
    expect(text.split(`\\begin{${name}}`).length).toBe(text.split(`\\end{${name}}`).length);
  const rows = text.split("\n").filter((line) => line.endsWith(" \\\\") && !line.startsWith("\\multicolumn"));
  expect(rows).toHaveLength(8);
  for (const row of rows) expect(row.replaceAll("\\&", "").split("&")).toHaveLength(2);
  expect(text).toContain("\\textbf{$-$0.5$\\pm$0.1}");
  expect(text).toContain("\n{[}x{]} {*} first & ");
});

/** Runs pdflatex on a text, and gives what it complains of. */
function complaints(text: string, others: Record<string, string> = {}): string[] {
  const folder = mkdtempSync(join(tmpdir(), "ingot-latex-"));
  try {
    for (const [name, content] of Object.entries({ "t.tex": text, ...others }))
      writeFileSync(join(folder, name), content);
    const { exitCode, stdout } = Bun.spawnSync(["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "t.tex"], {
      cwd: folder,
    });
    const found = stdout.toString().split("\n");
    return exitCode === 0 ? found.filter((line) => /^!|Warning|incomplete/.test(line)) : found.slice(-20);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

test.skipIf(!Bun.which("pdflatex"))(
  "it compiles by itself, and inside another document",
  () => {
    expect(complaints(latexDocument([SHEET, SHEET]))).toEqual([]);
    const around =
      "\\documentclass{article}\n\\begin{document}\n\\input{table}\n\\input{table}\nend\n\\end{document}\n";
    expect(complaints(around, { "table.tex": latexDocument([SHEET]) })).toEqual([]);
  },
  60_000,
);
