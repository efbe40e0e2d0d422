/**
 * Tables of LaTeX that need no package. The text is a document by itself and can be taken into another:
 * `pdflatex t.tex` and `\input{t.tex}` both work.
 * and `\input{t.tex}` both work.
 */
import type { Block, Cell, Sheet } from "./sheet.ts";

/** Characters that mean something else to TeX, or that its first font does not have. */
const WRITTEN: Readonly<Record<string, string>> = {
  "\\": "\\textbackslash{}",
  "{": "\\{",
  "}": "\\}",
  _: "\\_",
  "%": "\\%",
  "&": "\\&",
  "#": "\\#",
  $: "\\$",
  "^": "\\textasciicircum{}",
  "~": "\\textasciitilde{}",
  "<": "$<$",
  ">": "$>$",
  "|": "$|$",
  '"': "\\char34{}",
  "`": "\\`{}",
  "'": "'{}",
  "±": "$\\pm$",
  "×": "$\\times$",
  "−": "$-$",
  "…": "\\ldots{}",
  "–": "--",
  "—": "---",
  // Behind the end of a row they would be its options.
  "*": "{*}",
  "[": "{[}",
  "]": "{]}",
};

/** Letters with accents that TeX puts together in any font. */
const ACCENTED = /[À-ÖØ-Üà-öø-üßÿ]/;

function characterOf(character: string): string {
  if (Object.hasOwn(WRITTEN, character)) return WRITTEN[character]!;
  if (/[ -~]/.test(character) || ACCENTED.test(character)) return character;
  if (/\s/.test(character)) return " ";
  return `{[}U+${character.codePointAt(0)!.toString(16).toUpperCase().padStart(4, "0")}{]}`;
}

/** A text as TeX prints it. Of characters that plain LaTeX cannot print the number is written: `[U+4E2D]`. */
export const latexText = (text: string): string =>
  [...text.normalize("NFC")]
    .map(characterOf)
    .join("")
    .replaceAll(/-(?=-)/g, "-{}");

/** A text of a cell; a number's sign is a minus. */
const numberText = (text: string): string => latexText(text).replace(/^-(?=[\d.])/, "$-$");

const cellOf = ({ text, strong }: Cell): string =>
  strong && text !== "" ? `\\textbf{${numberText(text)}}` : numberText(text);

function blockLines({ title, rows }: Block, columns: number): string[] {
  const head = title === undefined ? [] : [`\\multicolumn{${columns}}{l}{\\textit{${latexText(title)}}} \\\\`];
  return [...head, ...rows.map((row) => `${row.map(cellOf).join(" & ")} \\\\`), "\\hline"];
}

/** The table alone, with its notes below. */
function tabular({ header, align, blocks, notes }: Sheet): string[] {
  const columns = header.map((_, i) => (align[i] === "r" ? "r" : "l")).join("");
  return [
    `\\begin{tabular}{${columns}}`,
    "\\hline",
    `${header.map(latexText).join(" & ")} \\\\`,
    "\\hline",
    ...blocks.flatMap((block) => blockLines(block, header.length)),
    "\\end{tabular}",
    ...(notes.length > 0 ? ["", "\\medskip", `{\\footnotesize ${notes.map(latexText).join(" ")}}`] : []),
  ];
}

/**
 * A document of these tables, one below the other. Inside another document (`\input`) it is the tables alone: LaTeX
 * lets `\@nodocument` be nothing once a document has begun.
 */
export function latexDocument(sheets: readonly Sheet[]): string {
  return `${[
    "% Compile this file as it is, or take it into a document: \\input{FILE}",
    "\\makeatletter",
    "\\ifx\\@nodocument\\relax",
    "  \\let\\ingotend\\relax",
    "\\else",
    "  \\documentclass{article}",
    "  \\pagestyle{empty}",
    "  \\setlength{\\paperwidth}{11in} \\setlength{\\paperheight}{8.5in}",
    "  \\ifdefined\\pdfpagewidth \\pdfpagewidth=\\paperwidth \\pdfpageheight=\\paperheight \\fi",
    "  \\setlength{\\textwidth}{10in} \\setlength{\\oddsidemargin}{-0.5in}",
    "  \\setlength{\\textheight}{7in} \\setlength{\\topmargin}{-1in}",
    "  \\def\\ingotend{\\end{document}}",
    "  \\begin{document}",
    "\\fi",
    "\\makeatother",
    ...sheets.flatMap((sheet, i) => [...(i > 0 ? ["", "\\bigskip"] : []), "\\noindent", ...tabular(sheet)]),
    "\\ingotend",
  ].join("\n")}\n`;
}
