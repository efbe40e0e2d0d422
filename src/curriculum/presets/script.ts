/** Stages of a preset as a script of the shell, to be read, changed and run. */
import { quote } from "../../text/quote.ts";
import type { Stage } from "./contract.ts";

const WIDTH = 116;

/** A command on lines that end before a flag where it is long. */
function wrapped(words: readonly string[], indent: string): string {
  const parts: string[] = [];
  for (const word of words) {
    if (word.startsWith("--") || parts.length === 0) parts.push(quote(word));
    else parts[parts.length - 1] += ` ${quote(word)}`;
  }
  const lines = [indent];
  for (const part of parts) {
    const line = lines.at(-1)!;
    const isFirst = line.trim() === "";
    if (!isFirst && line.length + 1 + part.length > WIDTH) lines.push(`${indent}    ${part}`);
    else lines[lines.length - 1] = isFirst ? `${line}${part}` : `${line} ${part}`;
  }
  return lines.join(" \\\n");
}

/** A stage whose result is there already is not run again: results have their names once they are whole. */
function stageText({ title, words, makes }: Stage): string {
  if (makes === undefined) return `# ${title}\n${wrapped(words, "")}`;
  const command = words[0] === "ingot" ? [...words, "-o", makes] : words;
  const sent = words[0] === "ingot" ? "" : ` > ${quote(makes)}`;
  return `# ${title}\nif [ ! -e ${quote(makes)} ]; then\n${wrapped(command, "  ")}${sent}\nfi`;
}

/** The whole script. `head` is its first comment, `to` the folder of its results. */
export const scriptOf = (head: readonly string[], to: string, stages: readonly Stage[]): string =>
  [
    `#!/bin/sh\n${head.map((line) => `# ${line}`.trimEnd()).join("\n")}\nset -eu\nmkdir -p ${quote(to)}`,
    ...stages.map(stageText),
  ].join("\n\n");
